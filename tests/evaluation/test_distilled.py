"""The estimated median over games that were not played: where it is shown, and that it is right."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import evaluate
from benchmarks.made_up_runs import make_grid_of_runs
from envs.atari import ATARI
from evaluation.distilled import distilled
from tests.evaluation.comparing import comparison, result_of

FIVE = ATARI.game_sets["atari5"].games
TEN = ATARI.game_sets["atari10"].games
LEVELS = {"nature": 0.3, "coordconv": 0.9}


@pytest.mark.slow
def test_a_report_with_all_five_games_shows_the_estimate_and_its_caveats(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_grid_of_runs(tmp_path / "runs", [*FIVE, "Pong"], LEVELS)
    out = tmp_path / "report"
    words = ["compare", str(tmp_path / "runs"), "--out", str(out), "--videos", "0"]
    assert evaluate.main(words) == 0
    printed = capsys.readouterr().out
    title = "median over 57 games, estimated from atari5"
    for text in (
        printed,
        (out / "report.md").read_text(),
        (out / "index.html").read_text().replace("&#39;", "'"),
    ):
        assert title in text
        assert "misses medians by 10.4%" in text
        assert "1,000,000 agent steps, protocol v4" in text
        assert "arXiv:2210.02019" in text
    with (out / "aggregates.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["statistic"] == title]
    assert [row["arm"] for row in rows] == ["nature", "coordconv"]
    assert 0.2 < float(rows[0]["value"]) < 0.4 < 0.6 < float(rows[1]["value"]) < 1.1
    for row in rows:
        assert float(row["low"]) < float(row["value"]) < float(row["high"])


def test_the_estimate_is_the_models_of_each_games_mean_whatever_the_order_of_games(
    tmp_path: Path,
) -> None:
    make_grid_of_runs(tmp_path, [*FIVE, "Alien", "Zaxxon"], LEVELS)
    compared = comparison(tmp_path)
    model = ATARI.game_sets["atari5"].model
    assert model is not None
    means = {
        game.game: ATARI.human_normalized(game.game, float(np.mean(game.arm)))
        for game in result_of(compared, "coordconv").games
    }
    expected = model(np.array([means[game] for game in model.weights]))
    assert compared.distilled.arms["coordconv"].value == pytest.approx(float(expected))


def test_ten_games_count_more_than_five_and_four_for_nothing(tmp_path: Path) -> None:
    make_grid_of_runs(tmp_path / "ten", TEN, LEVELS, seeds=1)
    ten = comparison(tmp_path / "ten").distilled
    assert (ten.name, ten.model.relative_error) == ("atari10", 0.072)
    assert ten.arms["nature"].low is None  # one seed has no interval
    make_grid_of_runs(tmp_path / "four", FIVE[:4], LEVELS, seeds=1)
    assert comparison(tmp_path / "four").distilled is None


def test_nothing_is_estimated_where_all_games_were_played(tmp_path: Path) -> None:
    every = ATARI.game_sets["all"].games
    settings = {"seeds": 1, "training_games": 2, "episodes": 2}
    make_grid_of_runs(tmp_path, every, LEVELS, **settings)
    assert distilled(comparison(tmp_path).grid) is None
