"""Sets of games by name, and what scores on a few games say about many."""

from __future__ import annotations

import numpy as np
import pytest

from cli.errors import UserError
from envs.atari import ATARI
from envs.published_scores import human_normalised, reference_scores

SETS = ATARI.game_sets


def test_a_set_stands_for_its_games_and_none_comes_twice() -> None:
    five = ("BattleZone", "DoubleDunk", "NameThisGame", "Phoenix", "Qbert")
    assert ATARI.games_named(["atari5"]) == five
    assert ATARI.games_named(["Qbert", "atari5", "Pong"]) == ("Qbert", *five[:4], "Pong")
    ten = ATARI.games_named(["atari10"])
    assert len(ten) == 10
    assert set(five) < set(ten) < set(ATARI.games_named(["all"]))
    assert len(ATARI.games_named(["all", "atari5"])) == 57
    assert ATARI.games_named(["Pong", "Pong"]) == ("Pong", "Pong")  # for whoever refuses it


def test_a_name_that_is_neither_a_game_nor_a_set_is_told_of_both() -> None:
    with pytest.raises(UserError, match=r"did you mean Pong.*sets of games: atari5, atari10, all"):
        ATARI.games_named(["atari5", "Pnog"])


def test_every_set_is_of_games_that_can_be_played_with_a_human_score() -> None:
    for games in SETS.values():
        for game in games.games:
            ATARI.check_game(game)
            assert human_normalised(game, 0.0) is not None


def test_the_model_is_a_weighted_mean_of_logarithms() -> None:
    model = SETS["atari5"].model
    assert model is not None
    assert list(model.weights) == list(SETS["atari5"].games)
    # By hand: every game at 99 %, so every logarithm is 2; the weights add up to 0.9653.
    assert model(np.full(5, 0.99)) == pytest.approx((10 ** (2 * 0.965301) - 1) / 100, abs=1e-5)
    assert model(np.zeros(5)) == 0.0
    # What is worse than random play counts as random play.
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
def test_how_far_it_is_off_on_published_tables_of_our_algorithms(
    scores: str, median: float, five: float, ten: float
) -> None:
    """The table in docs/statistics.md, and the caveat that reports show."""
    known = {
        game: human_normalised(game, reference_scores(game)[scores])
        for game in SETS["all"].games
        if scores in reference_scores(game)
    }
    assert np.median(list(known.values())) == pytest.approx(median, abs=5e-4)
    for name, expected in (("atari5", five), ("atari10", ten)):
        model = SETS[name].model
        assert model is not None
        estimated = model(np.array([known[game] for game in model.weights]))
        assert estimated == pytest.approx(expected, abs=5e-4)


def test_the_weights_find_the_median_of_an_agent_they_were_fitted_to() -> None:
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
    scores = np.array([human_normalised(game, raw[game]) for game in model.weights])
    assert model(scores) == pytest.approx(2.27, rel=model.relative_error)
