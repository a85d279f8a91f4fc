"""What is concluded from a grid of runs."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.made_up_runs import make_grid_of_runs
from evaluation.compare import Request, grids
from evaluation.report.tables import games_table
from evaluation.results import BUT_NOT_THAN_CONTROL, CONTROL_UNKNOWN, compare, sentence
from evaluation.statistics import win_rate
from tests.evaluation.comparing import GAMES, comparison, report, result_of


def test_verdicts_follow_the_scores(tmp_path: Path) -> None:
    make_grid_of_runs(
        tmp_path, GAMES, {"nature": 0.5, "coordconv": 0.9, "coordconv-r": 0.1}, spread=0.01, seeds=5
    )
    compared = comparison(tmp_path)
    better, worse = result_of(compared, "coordconv"), result_of(compared, "coordconv-r")
    assert better.verdict == "better"
    assert [game.verdict for game in better.games] == ["better"] * 4
    assert worse.verdict == "worse"
    assert worse.count("worse") == 4
    assert better.differences["IQM"].value == pytest.approx(0.4, abs=0.05)
    assert better.improvement.value == 1.0
    told = sentence(better, compared)
    assert told.startswith("coordconv is better than nature over 4 games")
    assert "better on 4, worse on 0, undecided on 0" in told


def test_the_score_of_a_run_is_the_mean_of_its_games_and_seeds_stay_apart(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.5, "coordconv": 0.6})
    (grid,), _ = grids(Request((tmp_path,), tmp_path))
    path = tmp_path / "a2c/Pong/coordconv/seed-2"
    with (path / "evaluation.csv").open() as file:
        scores = [float(row["score"]) for row in csv.DictReader(file)]
    assert grid.scores("coordconv")[1, 0] == np.mean(scores)
    pong = result_of(compare([grid])[0], "coordconv").games[0]
    assert pong.arm[1] == np.mean(scores)
    assert pong.difference.value == pytest.approx(np.mean(pong.arm) - np.mean(pong.baseline))
    assert pong.win_rate == win_rate(np.array(pong.arm), np.array(pong.baseline))
    # Pong: random -20.7, human 14.6.
    assert pong.normalized.value == pytest.approx(pong.difference.value / (14.6 + 20.7))


def test_equal_arms_are_undecided(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, GAMES, {"nature": 0.5, "coordconv": 0.5}, seeds=5, spread=0.2)
    compared = comparison(tmp_path)
    assert compared.results[0].verdict == "undecided"
    assert "Undecided whether coordconv differs from nature" in sentence(
        compared.results[0], compared
    )


def test_many_games_are_corrected_for(tmp_path: Path) -> None:
    """One game that stands out by chance would be called better if it were looked at alone.

    Four games share one half of the level, the verdict over all of them has the other.
    """
    make_grid_of_runs(tmp_path, GAMES, {"nature": 0.5, "coordconv": 0.5}, seeds=5, spread=0.05)
    games = comparison(tmp_path).results[0].games
    alone = np.sort([game.difference.p for game in games]).astype(float)
    corrected = np.sort([game.p for game in games]).astype(float).tolist()
    assert corrected[0] == pytest.approx(min(1.0, 8 * alone[0]))
    assert corrected == sorted(max(a, b) for a, b in zip(alone, corrected, strict=True))


@pytest.mark.slow
def test_better_than_convolution_but_not_than_the_control(tmp_path: Path) -> None:
    arms = {"nature": 0.3, "coordconv": 0.9, "control-noise": 0.9}
    make_grid_of_runs(tmp_path, GAMES, arms, spread=0.02, seeds=5)
    compared = comparison(tmp_path)
    result = result_of(compared, "coordconv")
    assert result.verdict == "better"
    assert result.control == "undecided"
    assert f"coordconv is {BUT_NOT_THAN_CONTROL}, over 4 games" in sentence(result, compared)
    assert {game.words for game in result.games} == {BUT_NOT_THAN_CONTROL}
    assert "but not than the control" in "".join(report(tmp_path))


def test_better_than_the_control_too(tmp_path: Path) -> None:
    arms = {"nature": 0.3, "coordconv": 0.9, "control-noise": 0.3}
    make_grid_of_runs(tmp_path, GAMES, arms, spread=0.02, seeds=5)
    compared = comparison(tmp_path)
    result = result_of(compared, "coordconv")
    assert "than the parameter-matched control, over 4 games" in sentence(result, compared)
    assert result.games[0].words == "better, also than the control"


def test_a_control_is_one_only_for_arms_with_its_layers(tmp_path: Path) -> None:
    arms = {"nature": 0.3, "coordconv-gap": 0.9, "control-noise": 0.9}
    make_grid_of_runs(tmp_path, GAMES[:2], arms)
    assert result_of(comparison(tmp_path), "coordconv-gap").control is None


@pytest.mark.slow
def test_two_seeds_claim_nothing(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, GAMES, {"nature": 0.1, "coordconv": 0.9}, seeds=2, spread=0.001)
    compared = comparison(tmp_path)
    result = compared.results[0]
    assert result.verdict == "undecided"
    assert {game.verdict for game in result.games} == {"undecided"}
    assert all(game.difference.low is None and game.p is None for game in result.games)
    assert result.differences["IQM"].low is None
    assert "a verdict needs at least 3" in sentence(result, compared)
    # From two seeds, P(improvement) would be 1.00.
    assert games_table(result, compared.grid).rows[0][5:7] == ("", "")
    report(tmp_path)


def test_too_few_runs_of_the_control_are_no_verdict_of_it(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path, ["Pong"], {"nature": 0.3, "coordconv": 0.9}, seeds=5, spread=0.02)
    make_grid_of_runs(tmp_path, ["Pong"], {"control-noise": 0.3}, seeds=2)
    compared = comparison(tmp_path, allow_missing=True)
    result = result_of(compared, "coordconv")
    assert result.games[0].words == CONTROL_UNKNOWN
    # Nor does the control's lack of seeds silence what is known of the arm.
    assert f"coordconv is {CONTROL_UNKNOWN}, over 1 game" in sentence(result, compared)
    assert "some game has only 2 seeds" in sentence(result_of(compared, "control-noise"), compared)


def test_games_without_human_scores_are_compared_raw(tmp_path: Path) -> None:
    make_grid_of_runs(
        tmp_path, ["AirRaid"], {"nature": 0.3, "coordconv": 0.9}, spread=0.01, seeds=5
    )
    compared = comparison(tmp_path)
    (game,) = compared.results[0].games
    assert game.normalized is None
    assert game.verdict == "better"
    assert compared.results[0].differences == {}
    assert "no human scores are published" in sentence(compared.results[0], compared)
    report(tmp_path)
    assert (
        "no human score is published for AirRaid"
        in (tmp_path.parent / "report/index.html").read_text()
    )
