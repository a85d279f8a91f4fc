"""The two seams, proven by what they are for: a further algorithm and a further family of games
are trained, killed, resumed, scored, recorded, swept and compared without a line changed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint
from records.rows import read_episodes, read_evaluated_games

ROOT = Path(__file__).parents[2]
ALGO = ["--algo", "tests.seams.adam_a2c:ADAM_A2C"]
FAMILY = ["--family", "tests.seams.dots:DOTS"]
GAME = [*FAMILY, "--game", "DotSide", "--protocol", "plain"]


def start(*words: object) -> subprocess.Popen[str]:
    """A script of the suite in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def done(*words: object, code: int = 0) -> str:
    """What a script printed; it ends with this code."""
    process = start(*words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    return out + err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of both that was killed in the middle and went on."""
    path = tmp_path_factory.mktemp("seams") / "run"
    words = [*ALGO, *GAME, "--extractor", "nature-gap", "--steps", 24_000, "--beta", 0.5]
    words += ["--checkpoint-every", 800, "--threads", 1, "--out", path]
    process = start("train.py", *words)
    end = time.monotonic() + 240
    while not list_checkpoints(RunFolder(path))[1:]:
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    folder = RunFolder(path)
    assert not folder.is_done
    # The run names code of its own, which nobody has named here.
    assert f"--algo {ALGO[1]}" in done("train.py", "--resume", path, code=2)
    assert f"--family {FAMILY[1]}" in done("train.py", "--resume", path, *ALGO, code=2)
    done("train.py", "--resume", path, *ALGO, *FAMILY)
    return folder


def test_it_is_trained_and_resumed_after_a_kill(run: RunFolder) -> None:
    assert run.is_done
    config = json.loads(run.config_file.read_text())
    assert (config["algo"], config["beta"], config["family"]) == (ALGO[1], 0.5, FAMILY[1])
    state = open_checkpoint(run).state
    assert (state.step, state.resumes) == (24_000, 1)
    games = list(read_episodes(run.episodes_file))
    # The games that were being played when it was killed, and at the end, are lost.
    assert 24_000 // 8 - 2 * 16 <= len(games) == state.games <= 24_000 // 8
    assert {game.length for game in games} == {8}


def test_its_folder_is_read_by_those_who_do_not_have_its_code(run: RunFolder) -> None:
    _, config = RunFolder.open(run.path)
    assert config.values()["beta"] == 0.5
    assert config.total_steps == 24_000


def test_it_is_scored_recorded_and_exported(run: RunFolder, tmp_path: Path) -> None:
    assert f"--family {FAMILY[1]}" in done("evaluate.py", "score", run.path, code=2)
    done("evaluate.py", "score", run.path, "--episodes", 5, "--random", *FAMILY)
    games = list(read_evaluated_games(run.evaluation_file))
    assert [game.length for game in games] == [8] * 5
    done("evaluate.py", "record", run.path, *FAMILY)
    assert list(run.videos.glob("DotSide-*.mp4"))
    done("evaluate.py", "export", run.path, "--onnx", tmp_path / "agent.onnx", *FAMILY)


def test_it_is_swept_over_its_own_setting_and_compared(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    words = ["--games", "DotSide", "--protocol", "plain", *FAMILY, "--algos", ALGO[1], "a2c"]
    words += ["--extractors", "nature-gap", "coordconv-gap", "--seeds", "3-4", "--steps", "160"]
    words += ["--beta", "0.5", "0.9", "--episodes", "2", "--runs-dir", str(runs)]
    # a2c has no beta: its runs are not doubled.
    assert "12 cells" in done("sweep.py", *words, "--dry-run")
    done("sweep.py", *words)
    assert "12 done" in done("sweep.py", *words, "--status")
    path = runs / "beta-0.5" / ALGO[1].replace(":", ".") / "DotSide/coordconv-gap/seed-3"
    assert RunFolder(path).is_done
    report = tmp_path / "report"
    done(
        "evaluate.py", "compare", runs / "beta-0.5", runs / "a2c", "--baseline", "nature-gap",
        "--out", report, *FAMILY, "--algo", ALGO[1], "--videos", 1,
    )  # fmt: skip
    with (report / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(row["algo"] for row in rows) == ["a2c"] * 4 + [ALGO[1]] * 4
    page = (report / "report.md").read_text()
    assert "--seeds 3-4" in page
    assert "--beta 0.5" in page


def test_a_sweep_names_an_algorithm_that_is_none(tmp_path: Path) -> None:
    told = done("sweep.py", "--games", "Pong", "--algos", "os.path:join", code=2)
    assert "is not an instance of records.algorithm.Algorithm" in told
