"""Named sets of games, and models that estimate the median over many games from a few."""

from __future__ import annotations

import numpy as np
import pytest

from cli.errors import UserError
from envs.atari import ATARI
from envs.published_scores import human_normalized, reference_scores

SETS = ATARI.game_sets


def test_a_set_is_replaced_by_its_games_without_duplicates() -> None:
    five = ("BattleZone", "DoubleDunk", "NameThisGame", "Phoenix", "Qbert")
    assert ATARI.games_named(["atari5"]) == five
    assert ATARI.games_named(["Qbert", "atari5", "Pong"]) == ("Qbert", *five[:4], "Pong")
    ten = ATARI.games_named(["atari10"])
    assert len(ten) == 10
    assert set(five) < set(ten) < set(ATARI.games_named(["all"]))
    assert len(ATARI.games_named(["all", "atari5"])) == 57
    assert ATARI.games_named(["Pong", "Pong"]) == ("Pong", "Pong")  # for whoever refuses it


def test_an_unknown_name_is_refused_with_the_games_and_the_sets() -> None:
    with pytest.raises(UserError, match=r"did you mean Pong.*sets of games: atari5, atari10, all"):
        ATARI.games_named(["atari5", "Pnog"])


def test_every_game_of_a_set_can_be_played_and_has_a_human_score() -> None:
    for games in SETS.values():
        for game in games.games:
            ATARI.check_game(game)
            assert human_normalized(game, 0.0) is not None


def test_the_model_is_a_weighted_mean_of_logarithms() -> None:
    model = SETS["atari5"].model
    assert model is not None
    assert list(model.weights) == list(SETS["atari5"].games)
    # By hand: every game is at 99 %, so every logarithm is 2; the weights sum to 0.9653.
    assert model(np.full(5, 0.99)) == pytest.approx((10 ** (2 * 0.965301) - 1) / 100, abs=1e-5)
    assert model(np.zeros(5)) == 0.0
    # Scores below random play count as random play.
    assert model(np.array([[-0.5, 0.3, 0.3, 0.3, 0.3]])) == model(
        np.array([[0, 0.3, 0.3, 0.3, 0.3]])
    )


@pytest.mark.parametrize(
    ("scores", "median", "five", "ten"),
    [
        ("baselines_ppo2", 0.796, 0.680, 0.679),
        ("cleanrl_ppo", 1.023, 0.765, 0.781),
        ("slm_ppo_v5", 1.059, 0.879, 0.752),
        ("slm_a2c_v5", 0.418, 0.136, 0.217),
    ],
)
def test_estimated_medians_of_published_tables_equal_the_documented_ones(
    scores: str, median: float, five: float, ten: float
) -> None:
    """The values are those of the table in docs/statistics.md and of the caveat in reports."""
    known = {
        game: human_normalized(game, reference_scores(game)[scores])
        for game in SETS["all"].games
        if scores in reference_scores(game)
    }
    assert np.median(list(known.values())) == pytest.approx(median, abs=5e-4)
    for name, expected in (("atari5", five), ("atari10", ten)):
        model = SETS[name].model
        assert model is not None
        estimated = model(np.array([known[game] for game in model.weights]))
        assert estimated == pytest.approx(expected, abs=5e-4)


def test_the_model_predicts_the_median_of_an_agent_it_was_fitted_to() -> None:
    """Rainbow's published scores (Hessel et al. 2018): its median over the games is 2.27."""
    raw = {
        "BattleZone": 62010.0,
        "DoubleDunk": -0.3,
        "NameThisGame": 13136.0,
        "Phoenix": 108528.6,
        "Qbert": 33817.5,
    }
    model = SETS["atari5"].model
    assert model is not None
    scores = np.array([human_normalized(game, raw[game]) for game in model.weights])
    assert model(scores) == pytest.approx(2.27, rel=model.relative_error)
