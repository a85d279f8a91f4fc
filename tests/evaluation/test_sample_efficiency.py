"""The mean score during training is compared beside the final score and never in its stead."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from benchmarks.made_up_runs import make_grid_of_runs
from evaluation.curves import read_curve
from evaluation.runs import find_runs
from records.folder import RunFolder
from tests.evaluation.comparing import GAMES, report

ARMS = {"nature": 0.5, "coordconv": 0.5}


def rows(root: Path, name: str) -> list[dict[str, str]]:
    with (root.parent / "report" / name).open() as file:
        return list(csv.DictReader(file))


def slow(run: Path) -> None:
    """The run scores nothing in the first half of its training games."""
    header, *games = RunFolder(run).episodes_file.read_text().splitlines()
    half = len(games) // 2
    games[:half] = [",".join([*game.split(",")[:2], "0", "900"]) for game in games[:half]]
    RunFolder(run).episodes_file.write_text("\n".join([header, *games, ""]))


@pytest.mark.slow
def test_an_arm_that_learns_earlier_is_better_during_training_only(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_grid_of_runs(root, ["MsPacman", "Qbert"], ARMS, seeds=5, spread=0.05)
    for run in find_runs([root]):
        if "nature" in run.parts:
            slow(run)
    report(root)
    (final,), (training,) = rows(root, "verdicts.csv"), rows(root, "training-verdicts.csv")
    assert (final["verdict"], training["verdict"]) == ("undecided", "better")
    assert training["standing"] == "Exploratory, mean score during training"
    page = (tmp_path / "report/index.html").read_text()
    assert "A2C: Exploratory, mean score during training: coordconv is better than nature" in page
    assert '<span class="badge">exploratory</span>' in page
    text = (tmp_path / "report/report.md").read_text()
    assert "| game | nature | coordconv | difference [95 %] | p, Holm | during training | " in text
    assert "All verdicts here are exploratory" in text


@pytest.mark.slow
def test_the_numbers_are_means_over_seeds_of_the_areas_under_the_curves(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_grid_of_runs(root, GAMES[:2], {**ARMS, "control-noise": 0.5}, seeds=3)
    report(root)
    found = rows(root, "training-games.csv")
    assert len(found) == 4
    for row in found:
        folders = [root / "a2c" / row["game"] / row["arm"] / f"seed-{seed}" for seed in (1, 2, 3)]
        areas = [read_curve(folder, 1_000_000).mean_score for folder in folders]
        assert float(row["arm_mean"]) == pytest.approx(sum(areas) / 3)
        difference = float(row["arm_mean"]) - float(row["baseline_mean"])
        assert float(row["low"]) < difference < float(row["high"])
        assert row["verdict"] == "undecided"  # three seeds give no verdict on a game
        assert row["p_holm"] == ""


@pytest.mark.slow
def test_the_family_of_final_scores_does_not_grow(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_grid_of_runs(root, GAMES, {"nature": 0.5, "coordconv": 0.56}, seeds=5)
    report(root)
    files = ("verdicts.csv", "games.csv", "aggregates.csv")
    before = [rows(root, name) for name in files]
    # Over all games and on each of four: so many claims, and as many in the family of training.
    assert before[0][0]["family"] == "5"
    assert rows(root, "training-verdicts.csv")[0]["family"] == "5"
    for run in find_runs([root]):
        RunFolder(run).episodes_file.unlink()
    report(root)
    assert [rows(root, name) for name in files] == before
    assert rows(root, "training-verdicts.csv") == []
    page = (tmp_path / "report/index.html").read_text()
    assert "no learning curve of" in page
    assert "mean score during training" not in page.partition("<section")[2]


@pytest.mark.slow
def test_a_run_without_a_curve_is_left_out_of_training_alone(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_grid_of_runs(root, GAMES[:1], ARMS, seeds=5)
    RunFolder(root / "a2c" / GAMES[0] / "coordconv/seed-2").episodes_file.unlink()
    report(root)
    (final,), (training,) = rows(root, "games.csv"), rows(root, "training-games.csv")
    assert (final["arm_seeds"], training["arm_seeds"]) == ("5", "4")
    during = {row["path"]: row["score_during_training"] for row in rows(root, "runs.csv")}
    assert [path[-6:] for path, score in during.items() if score == ""] == ["seed-2"]


@pytest.mark.slow
def test_interpolated_windows_are_told(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path / "runs", GAMES[:1], ARMS, training_games=10)
    report(tmp_path / "runs")
    page = (tmp_path / "report/index.html").read_text()
    assert "A2C: no game ended in 60 of 120 training windows" in page
