"""Results of runs that may not be written go where --out says, and can be compared."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import evaluate
import train
from cli.errors import UserError
from records.folder import RunFolder
from records.layers import read_layer_uses, read_where_maps, where_map_steps
from records.results_folder import make_results_folder
from tests.agents.conftest import TrainRun, trained_run

__all__ = ["trained_run"]
GAMES = ["--episodes", "1", "--threads", "1"]


@contextmanager
def read_only(path: Path) -> Iterator[None]:
    """Nothing below a folder can be written, by nobody."""
    if os.geteuid() != 0:
        path.chmod(0o555)
        yield
        path.chmod(0o755)
        return
    bound = subprocess.run(["mount", "--bind", path, path], capture_output=True)
    if bound.returncode:
        pytest.skip("a folder cannot be made read-only here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", path], check=True)
        yield
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.slow
def test_a_read_only_run_is_scored_and_recorded_elsewhere(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run("run", steps=16)
    run, out = str(folder.path), folder.path.parent / "out"
    place = out / "a2c/Breakout/coordconv/seed-1"
    with read_only(folder.path):
        for verb in ("score", "record"):
            with pytest.raises(UserError, match="or store the results elsewhere with --out DIR"):
                evaluate.main([verb, run])
        assert evaluate.main(["score", run, *GAMES, "--out", str(out)]) == 0
        assert evaluate.main(["record", run, "--max-steps", "3", "--out", str(out)]) == 0
    assert len((place / "evaluation.csv").read_text().splitlines()) == 2
    assert len(list((place / "videos").glob("*.mp4"))) == 1
    assert not folder.evaluation_file.exists()


@pytest.mark.slow
def test_with_out_the_run_is_not_touched(trained_run: TrainRun, tmp_path: Path) -> None:
    folder, _, _ = trained_run("run", steps=16)

    def entries() -> list[tuple[str, int]]:
        return sorted((str(p), p.lstat().st_mtime_ns) for p in folder.path.rglob("*"))

    before = entries()
    words = [str(folder.path), "--out", str(tmp_path / "out")]
    assert evaluate.main(["score", *words, *GAMES]) == 0
    assert evaluate.main(["record", *words, "--max-steps", "3"]) == 0
    assert entries() == before


@pytest.mark.slow
def test_a_report_of_results_kept_elsewhere_finds_how_the_layers_used_position(
    trained_run: TrainRun, tmp_path: Path
) -> None:
    folder, config, _ = trained_run("run", steps=16)
    place = make_results_folder(folder, config, tmp_path / "out")
    assert list(read_layer_uses(place)) == list(read_layer_uses(folder)) != []
    (step,) = where_map_steps(place)
    assert read_where_maps(place, step).keys() == read_where_maps(folder, step).keys()


@pytest.mark.slow
def test_two_runs_of_one_place_are_refused_before_any_game(
    trained_run: TrainRun, tmp_path: Path
) -> None:
    first, _, _ = trained_run("first", steps=16)
    second, _, _ = trained_run("second", steps=32)
    paths = [str(first.path), str(second.path)]
    out = ["--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match=f"holds results of {first.path}, not of {second.path}"):
        evaluate.main(["score", *paths, *GAMES, *out])
    assert not list(tmp_path.rglob("evaluation.csv"))
    with pytest.raises(UserError, match="holds files that are not results"):
        evaluate.main(["score", paths[0], *GAMES, "--out", str(_a_runs_dir(tmp_path, first))])


def _a_runs_dir(tmp_path: Path, folder: RunFolder) -> Path:
    place = tmp_path / "runs/a2c/Breakout/coordconv"
    place.mkdir(parents=True)
    folder.path.rename(place / "seed-1")
    folder.path.symlink_to(place / "seed-1")
    return tmp_path / "runs"


@pytest.mark.slow
def test_such_results_are_compared_and_the_run_alone_is_continued(
    trained_run: TrainRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [trained_run(arm, extractor=arm, steps=16)[0] for arm in ("nature", "coordconv")]
    paths, out = [str(folder.path) for folder in runs], str(tmp_path / "out")
    assert evaluate.main(["score", *paths, *GAMES, "--out", out]) == 0
    report = tmp_path / "report"
    assert evaluate.main(["compare", out, "--out", str(report), "--videos", "1"]) == 0
    assert "Undecided whether coordconv differs from nature" in capsys.readouterr().out
    assert len(list(report.glob("videos-a2c/*.mp4"))) == 1
    assert not any(folder.videos.exists() for folder in runs)
    with pytest.raises(UserError, match=f"holds results of {paths[1]} only"):
        train.main(["--resume", f"{out}/a2c/Breakout/coordconv/seed-1"])
