"""Curves of training runs, worked out by hand."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks.parity import (
    CURVE_COLUMNS,
    SCORE_COLUMNS,
    difference_interval,
    draw,
    print_differences,
    print_scores,
    read_runs,
    write_merged,
)


def write_run(root: Path, seed: int, games: list[tuple[int, float]]) -> None:
    folder = root / "ppo" / "Pong" / f"seed-{seed}"
    folder.mkdir(parents=True)
    rows = "".join(f"{step},1.0,{score},100\n" for step, score in games)
    (folder / "episodes.csv").write_text("step,seconds,score,length\n" + rows)


def test_means_are_of_the_last_100_games_and_of_the_recent_steps(tmp_path: Path) -> None:
    write_run(tmp_path, 4, [(1000 * (game + 1), float(game)) for game in range(200)])
    (run,) = read_runs(tmp_path, "suite")
    assert (run.algo, run.game, run.seed) == ("ppo", "Pong", 4)
    assert run.mean_at(9_000) is None, "nine games are too few"
    assert run.mean_at(20_000) == pytest.approx(9.5)
    assert run.mean_at(200_000) == pytest.approx(149.5)
    assert run.recent_at(200_000) == pytest.approx(174.5)
    assert run.mean_at(211_000) is None, "the run did not get there"


def test_extractors_are_never_taken_for_each_other(tmp_path: Path) -> None:
    for extractor in ("nature", "coordconv"):
        write_run(tmp_path, 1, [(1000, 1.0)])
        folder = tmp_path / "ppo" / "Pong"
        (folder / extractor).mkdir()
        (folder / "seed-1").rename(folder / extractor / "seed-1")
    assert [run.game for run in read_runs(tmp_path, "float32")] == ["Pong coordconv", "Pong"]


def test_rows_of_other_runs_stay_and_those_of_a_run_are_replaced(tmp_path: Path) -> None:
    write_run(tmp_path / "first", 1, [(1000 * n, 1.0) for n in range(1, 31)])
    write_run(tmp_path / "first", 2, [(1000 * n, 2.0) for n in range(1, 31)])
    write_run(tmp_path / "again", 2, [(1000 * n, 3.0) for n in range(1, 31)])
    path = tmp_path / "scores.csv"
    write_merged(path, SCORE_COLUMNS, read_runs(tmp_path / "first", "suite"), [20_000, 30_000])
    rows = write_merged(path, SCORE_COLUMNS, read_runs(tmp_path / "again", "suite"), [30_000])
    with path.open(newline="") as file:
        assert list(csv.DictReader(file)) == rows
    means = [(row["seed"], row["step"], row["mean_of_last_100_games"]) for row in rows]
    assert means == [("1", "20000", "1.0"), ("1", "30000", "1.0"), ("2", "30000", "3.0")]


def test_scores_are_printed_by_seed_and_curves_are_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, score in ((1, 1.0), (2, 4.0)):
        write_run(tmp_path, seed, [(1000 * n, score) for n in range(1, 31)])
    runs = read_runs(tmp_path, "suite")
    print_scores(write_merged(tmp_path / "scores.csv", SCORE_COLUMNS, runs, [30_000]))
    assert "| 30,000 | this suite, nature | 1.0, 4.0 (mean 2.5) |" in capsys.readouterr().out
    draw(
        write_merged(tmp_path / "c.csv", CURVE_COLUMNS, runs, [10_000, 20_000]), tmp_path / "p.png"
    )
    assert (tmp_path / "p.png").stat().st_size > 5_000


def test_the_difference_has_welchs_interval(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hand: means 7 and 2, variances 1 and 0 of three seeds: t(2) = 4.303, error √(1/3)."""
    low, high = difference_interval([6.0, 8.0, 7.0], [2.0, 2.0, 2.0])
    assert (low, high) == pytest.approx((7 - 2 - 4.303 / 3**0.5, 7 - 2 + 4.303 / 3**0.5), abs=1e-3)
    for name, scores in (("float32", (1.0, 2.0)), ("bfloat16", (4.0, 4.0))):
        for seed, score in enumerate(scores, start=1):
            write_run(tmp_path / name, seed, [(1000 * n, score) for n in range(1, 31)])
    runs = read_runs(tmp_path / "float32", "float32") + read_runs(tmp_path / "bfloat16", "bfloat16")
    print_differences(write_merged(tmp_path / "scores.csv", SCORE_COLUMNS, runs, [30_000]))
    assert "bfloat16 - float32 = 2.5 (95 %: -3.9 to 8.9)" in capsys.readouterr().out


def test_a_sweeps_folders_are_read_too(tmp_path: Path) -> None:
    write_run(tmp_path / "plain", 3, [(1000, 1.0)])
    nested = tmp_path / "swept" / "ppo" / "Pong" / "nature"
    nested.parent.mkdir(parents=True)
    (tmp_path / "plain" / "ppo" / "Pong").rename(nested)
    (run,) = read_runs(tmp_path / "swept", "float32")
    assert (run.algo, run.game, run.seed) == ("ppo", "Pong", 3)
