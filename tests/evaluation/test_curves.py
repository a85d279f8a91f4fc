"""Learning curves and the mean score during training, against values worked out by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.made_up_runs import make_grid_of_runs
from cli.errors import UserError
from evaluation.compare import Request, write_report
from evaluation.curves import WINDOWS, Curve, curve_of, read_curve
from records.folder import RunFolder

COMMITTED = sorted(Path("docs/results/atari/runs").rglob("episodes.csv"))


def curve(steps: Sequence[float], scores: list[float], budget: int) -> Curve:
    return curve_of(np.array(steps), np.array(steps) * 2, np.array(scores), budget)


def test_a_game_counts_in_the_window_in_which_it_ends() -> None:
    # Windows of 10 steps: the first holds 1 to 10, the second 11 to 20.
    found = curve([5, 10, 11, *range(25, 200, 10)], [1, 3, 7, *[4.0] * 18], 10 * WINDOWS)
    assert found.scores[:3].tolist() == [2, 7, 4]
    assert found.empty == 0
    assert found.steps[:2].tolist() == [5, 15]
    assert found.hours[:2] * 3600 == pytest.approx([10, 30])
    assert found.mean_score == pytest.approx((2 + 7 + 18 * 4) / WINDOWS)


def test_empty_windows_lie_between_their_neighbors() -> None:
    found = curve([25, 45], [2, 6], 10 * WINDOWS)
    assert found.scores[:6].tolist() == [2, 2, 2, 4, 6, 6]
    assert set(found.scores[5:]) == {6}
    assert found.empty == WINDOWS - 2
    assert found.mean_score == pytest.approx((3 * 2 + 4 + (WINDOWS - 4) * 6) / WINDOWS)


def test_the_curve_does_not_lag_as_a_mean_of_many_games_does() -> None:
    """40 games, of which each is one point better: the last window is of the last two."""
    steps = list(range(10, 410, 10))
    found = curve(steps, [float(index) for index in range(40)], 400)
    assert found.scores[-1] == 38.5
    assert found.mean_score == pytest.approx(19.5)


def test_a_game_that_ends_after_the_budget_is_damage(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5}, seeds=1)
    folder = tmp_path / "a2c/Pong/nature/seed-1"
    budget = json.loads((folder / "config.json").read_text())["steps"]
    assert read_curve(folder, budget).mean_score
    with pytest.raises(UserError, match="outside the run's 10 steps"):
        read_curve(folder, 10)


@pytest.mark.slow
def test_scores_during_training_change_no_verdict_on_final_scores(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_grid_of_runs(root, ["Breakout", "Pong"], {"nature": 0.2, "coordconv": 0.9}, seeds=5)
    write_report(Request((root,), tmp_path / "with"), "command")
    told = json.loads((tmp_path / "with/report.json").read_text())["verdicts"]
    text = (tmp_path / "with/report.md").read_text()
    assert re.search("exploratory", text, re.IGNORECASE)
    assert "mean score during training" in text
    for episodes in root.rglob("episodes.csv"):
        episodes.unlink()
    write_report(Request((root,), tmp_path / "without"), "command")
    assert json.loads((tmp_path / "without/report.json").read_text())["verdicts"] == told


@pytest.mark.parametrize("file", COMMITTED, ids=str)
def test_committed_runs_have_curves(file: Path) -> None:
    _, config = RunFolder.open(file.parent)
    curve = read_curve(file.parent, config.total_steps)
    assert curve.empty == 0
    assert curve.scores[-1] > curve.scores[0]
    assert curve.scores.min() <= curve.mean_score <= curve.scores.max()
