"""Whole games: raw scores, fixed shares, and the same game scored, watched and repeated."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from agents.agent import PolicyAgent, RandomAgent
from agents.build import build_network
from agents.play import Game, evaluation_seeds, play_games
from agents.watch import watch_game
from envs.atari import ATARI

from .conftest import small_config


def test_seeds_are_odd_distinct_and_the_same_for_everyone() -> None:
    seeds = evaluation_seeds(100)
    assert len(set(seeds)) == 100
    assert all(seed % 2 == 1 for seed in seeds)
    assert evaluation_seeds(10) == seeds[:10]


@pytest.mark.slow
def test_a_game_does_not_depend_on_the_games_beside_it() -> None:
    agent = RandomAgent(4)
    seeds = evaluation_seeds(5)
    together = play_games(agent, ATARI, "Breakout", "v4", seeds, n_envs=3, threads=1)
    assert [game.seed for game in together] == seeds
    alone = [play_games(agent, ATARI, "Breakout", "v4", [seed], threads=1)[0] for seed in seeds[:2]]
    assert together[:2] == alone


class CountingAgent(RandomAgent):
    """Random play that remembers which games it was asked about."""

    def __init__(self) -> None:
        super().__init__(4)
        self.batches: list[int] = []

    def act(
        self, observations: NDArray[np.uint8], generators: Sequence[np.random.Generator]
    ) -> NDArray[np.int64]:
        self.batches.append(len(observations))
        return super().act(observations, generators)


@pytest.mark.slow
def test_every_environment_plays_its_share_to_the_end() -> None:
    finished: list[Game] = []
    agent = CountingAgent()
    seeds = evaluation_seeds(4)
    games = play_games(
        agent, ATARI, "Breakout", "v4", seeds, n_envs=2, threads=1, on_game=finished.append
    )
    assert sorted(finished, key=lambda g: g.seed) == sorted(games, key=lambda g: g.seed)
    # Each environment plays two games one after the other: as long as the longer pair.
    assert len(agent.batches) == max(
        games[0].length + games[2].length, games[1].length + games[3].length
    )


@pytest.mark.slow
def test_watching_shows_the_very_game_that_was_scored() -> None:
    policy = build_network(small_config())
    agent = PolicyAgent("coordconv", policy)
    (seed,) = evaluation_seeds(1, 7)
    (scored,) = play_games(agent, ATARI, "Breakout", "v4", [seed], threads=1)
    moments = list(watch_game(agent, ATARI, "Breakout", "v4", seed))
    assert sum(moment.reward for moment in moments) == scored.score
    assert len(moments) == scored.length
    assert [moment.over for moment in moments] == [False] * (len(moments) - 1) + [True]
    assert moments[0].screen.shape == (210, 160, 3)
    # What is drawn over a screen is about the observation that is a smaller picture of it.
    assert moments[0].observation.shape == (4, 84, 84)
    for moment in moments:
        gray = cv2.cvtColor(moment.seen, cv2.COLOR_RGB2GRAY)
        smaller = cv2.resize(gray, (84, 84), interpolation=cv2.INTER_AREA)
        assert np.abs(smaller.astype(int) - moment.observation[-1]).max() <= 1


@pytest.mark.parametrize("deterministic", [False, True])
def test_acting_draws_from_each_games_own_generator(deterministic: bool) -> None:
    policy = build_network(small_config())
    agent = PolicyAgent("coordconv", policy, deterministic)
    screens = np.random.default_rng(0).integers(0, 256, (6, 4, 84, 84), dtype=np.uint8)

    def act(rows: Sequence[int]) -> list[int]:
        generators = [np.random.default_rng(100 + row) for row in rows]
        return agent.act(screens[list(rows)], generators).tolist()

    assert act(range(6)) == [action for row in range(6) for action in act([row])]
    assert agent.mode == ("deterministic" if deterministic else "stochastic")


def test_drawn_actions_follow_the_policys_distribution() -> None:
    policy = build_network(small_config())
    policy.action_net.weight.data.mul_(100)
    agent = PolicyAgent("coordconv", policy)
    screen = np.full((1, 4, 84, 84), 90, np.uint8)
    import torch

    expected = policy.get_distribution(torch.as_tensor(screen)).distribution.probs
    assert expected is not None
    batch = np.repeat(screen, 500, axis=0)
    generators = [np.random.default_rng(seed) for seed in range(500)]
    counts = sum(np.bincount(agent.act(batch, generators), minlength=4) for _ in range(4))
    np.testing.assert_allclose(counts / 2000, expected[0].detach().numpy(), atol=0.04)
