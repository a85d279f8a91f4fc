import pytest

from envs import GAMES, UnknownGameError, human_normalized
from envs.published_scores import reference_scores


def test_scores_equal_those_of_the_published_tables() -> None:
    breakout = reference_scores("Breakout")
    assert (breakout["random"], breakout["human"]) == (1.7, 30.5)
    assert reference_scores("Alien")["baselines_ppo2"] == 1705.80  # 1705.80±439.74
    assert "paper_ppo" not in reference_scores("AirRaid")


def test_only_games_that_can_be_played_have_scores() -> None:
    assert sum(bool(reference_scores(game)) for game in GAMES) == 61


def test_random_play_scores_0_and_the_human_1() -> None:
    assert human_normalized("Breakout", 1.7) == 0.0
    assert human_normalized("Breakout", 30.5) == 1.0
    # Skiing's scores are negative: the human, at -4336.9, is better than random, at -17098.1
    assert human_normalized("Skiing", -17098.1 / 2 - 4336.9 / 2) == pytest.approx(0.5)


def test_the_human_score_never_equals_the_random_score() -> None:
    for scores in map(reference_scores, GAMES):
        assert "human" not in scores or scores["human"] != scores["random"]


def test_there_is_no_normalized_score_without_both_references() -> None:
    assert human_normalized("AirRaid", 5000.0) is None  # in the table, without random and human
    assert human_normalized("Klax", 100.0) is None  # not in the table


def test_an_unknown_game_is_refused_instead_of_having_no_score() -> None:
    with pytest.raises(UnknownGameError, match="did you mean Breakout"):
        human_normalized("breakout", 100.0)
