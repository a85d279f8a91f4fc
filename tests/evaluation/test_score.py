"""Scores: whole games, repeatable, appended, and summed up correctly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.play import Game
from cli.errors import UserError
from envs.atari import ATARI
from evaluation.score import Score, score_random, score_run, score_table, scored_games
from records.csv_log import read_csv
from records.rows import EvaluatedGame

MakeRun = Callable[..., Path]


def rows(path: Path) -> list[dict[str, str]]:
    return list(read_csv(path / "evaluation.csv", EvaluatedGame._fields))


@pytest.mark.slow
def test_every_game_is_a_row_and_is_played_once(make_run: MakeRun) -> None:
    path = make_run()
    first = score_run(path, 2, n_envs=2, threads=1)
    written = rows(path)
    by_seed = sorted((int(r["seed"]), float(r["score"]), int(r["length"])) for r in written)
    assert by_seed == [(game.seed, game.score, game.length) for game in first.games]
    assert {row["mode"] for row in written} == {"stochastic"}
    assert {row["step"] for row in written} == {"16"}
    more = score_run(path, 3, n_envs=2, threads=1)
    assert more.games[:2] == first.games
    assert len(rows(path)) == 3
    assert rows(path)[:2] == written


@pytest.mark.slow
def test_scoring_again_elsewhere_gives_the_same_games(make_run: MakeRun) -> None:
    path = make_run()
    first = score_run(path, 3, n_envs=3, threads=2)
    (path / "evaluation.csv").unlink()
    assert score_run(path, 3, n_envs=1, threads=1).games == first.games


@pytest.mark.slow
def test_other_modes_and_checkpoints_are_not_mixed_up(make_run: MakeRun) -> None:
    path = make_run()
    (path / "evaluation.csv").write_text(
        ",".join(EvaluatedGame._fields) + "\n16,1,999,10,deterministic\n8,1,999,10,stochastic\n"
    )
    assert score_run(path, 1, threads=1).games[0].score != 999
    assert score_run(path, 1, deterministic=True, threads=1).games[0].score == 999


@pytest.mark.slow
def test_damaged_rows_are_named_by_line(make_run: MakeRun) -> None:
    path = make_run()
    (path / "evaluation.csv").write_text(
        ",".join(EvaluatedGame._fields) + "\n16,1,3,10,stochastic\n16,3,three,10,stochastic\n"
    )
    with pytest.raises(UserError, match=r"evaluation\.csv is damaged at line 3"):
        score_run(path, 2, threads=1)


def test_two_scores_of_one_game_and_endless_games_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "evaluation.csv"
    header = ",".join(EvaluatedGame._fields)
    table.write_text(f"{header}\n16,1,3,10,stochastic\n16,1,4,10,stochastic\n")
    with pytest.raises(UserError, match="seed 1 has two different scores"):
        scored_games(table, 16, "stochastic")
    assert scored_games(table, 16, "deterministic") == {}
    table.write_text(f"{header}\n16,1,3,10,stochastic\n16,2,4,10,stochastic\n")
    assert len(scored_games(table, 16, "stochastic")) == 2
    monkeypatch.setattr("evaluation.score.MOST_GAMES", 1)
    with pytest.raises(UserError, match="more than 1 games of one agent"):
        scored_games(table, 16, "stochastic")


@pytest.mark.slow
def test_random_play_of_breakout_is_near_the_published_score() -> None:
    score = score_random(ATARI, "Breakout", "v4", 16, threads=1)
    # 1.7 in the published table; a game of random play has a deviation of about 1.3.
    assert abs(score.scores.mean() - 1.7) < 1.0
    assert score.human_normalized == pytest.approx((score.scores.mean() - 1.7) / 28.8)


def test_table_shows_hand_computed_numbers() -> None:
    games = tuple(Game(seed, value, 100) for seed, value in ((1, 1.0), (3, 2.0), (5, 6.0)))
    text = score_table(
        [
            Score("runs/a", ATARI, "Breakout", "v4", "stochastic", 1_000_000, games),
            Score("random play", ATARI, "Klax", "sticky", "random", None, games[:1]),
        ]
    )
    header, trained, random = (line.split() for line in text.splitlines())
    assert header[-5:] == ["games", "mean", "std", "median", "human-norm."]
    assert trained[-5:] == ["3", "3.0", "2.6", "2.0", f"{(3 - 1.7) / 28.8:.3f}"]
    assert "1,000,000" in trained
    assert random[-5:] == ["1", "1.0", "-", "1.0", "unknown"]
    assert np.isclose(np.std([1, 2, 6], ddof=1), 2.6457, atol=1e-3)


def test_games_that_were_played_twice_are_counted_where_no_action_is_drawn() -> None:
    games = tuple(Game(seed, score, 10) for seed, score in ((1, 5.0), (3, 5.0), (5, 7.0)))
    drawn = Score("a", ATARI, "Pong", "v4", "stochastic", 1, games)
    row = score_table([drawn, replace(drawn, mode="deterministic")]).splitlines()
    assert "3 (2 distinct)" not in row[1]
    assert "3 (2 distinct)" in row[2]
