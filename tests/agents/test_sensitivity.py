"""Shifted pictures, on networks that do not care, or care in a known way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.agent import PolicyAgent
from agents.play import evaluation_seeds
from agents.sensitivity import (
    SHIFT,
    SHIFTS,
    Played,
    Sensitivity,
    distance,
    own_play,
    sensitivity,
    shifted,
)
from envs.family import FAMILIES
from policies.build import build_policy

AROUND = ((-1, 0), (1, 0), (0, -1), (0, 1))
ATARI = FAMILIES.find("atari")


class SumsPixels:
    """An action by how much light there is, wherever it is."""

    def logits_and_values(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        light = obs.double().sum(dim=(1, 2, 3)) / 1e5
        return torch.stack([light, torch.zeros_like(light)], dim=1), light[:, None]


class LooksAtOnePixel:
    """The first of two actions by one pixel of the newest frame."""

    def logits_and_values(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        seen = obs[:, -1, 40, 40].double() / 100
        return torch.stack([seen, torch.zeros_like(seen)], dim=1), seen[:, None]


def played(pictures: np.ndarray) -> Played:
    """Two games of half of the pictures (N, C, H, W) each; nothing happens from one to the next."""
    games = pictures.reshape(2, -1, *pictures.shape[1:])
    return Played(games, games, np.ones(games.shape[:2], bool))


def dots(count: int = 4) -> np.ndarray:
    """Different things in the middle of a dark screen: no shift loses any of them."""
    pictures = np.zeros((count, 4, 84, 84), np.uint8)
    middle = np.random.default_rng(0).integers(0, 256, (count, 4, 8, 8), dtype=np.uint8)
    pictures[:, :, 38:46, 38:46] = middle
    return pictures


def measured(policy: Any, pictures: np.ndarray) -> Sensitivity:
    return sensitivity(policy, played(pictures))


def test_shifted_pictures_keep_their_border() -> None:
    picture = torch.arange(12.0).reshape(1, 1, 3, 4)
    down, left = shifted(picture, 1, (1, 0)), shifted(picture, 2, (0, -1))
    assert down[0, 0].tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7]]
    assert left[0, 0].tolist() == [[2, 3, 3, 3], [6, 7, 7, 7], [10, 11, 11, 11]]


def test_the_distance_is_the_largest_difference_in_probability() -> None:
    one, other = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.3, 0.6])
    assert float(distance(one, other)) == pytest.approx(0.4)
    assert float(distance(one, one)) == 0
    assert float(distance(torch.tensor([1.0, 0]), torch.tensor([0, 1.0]))) == 1


def test_a_policy_that_sums_pixels_does_not_move() -> None:
    found = measured(SumsPixels(), dots())
    assert all(found.shifted[pixels].max() < 1e-12 for pixels in SHIFTS)
    assert found.another > 0.001, "it tells the pictures apart"
    assert found.following == 0


def test_a_policy_that_looks_at_one_place_moves_as_the_pixels_there_do() -> None:
    pictures = dots(2)
    found = measured(LooksAtOnePixel(), pictures)

    def probability(light: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-light / 100))

    now = pictures[:, -1].astype(float)
    for pixels in SHIFTS:
        there = np.stack([now[:, 40 + dy * pixels, 40 + dx * pixels] for dy, dx in AROUND])
        moved = np.abs(probability(there) - probability(now[:, 40, 40])).mean(axis=0)
        assert found.shifted[pixels] == pytest.approx(moved)
    first, second = probability(now[:, 40, 40])
    assert found.another == pytest.approx(abs(first - second))
    by_place = found.by_place.enlarged(84, 84)
    there = np.stack([now[:, 40 + dy * SHIFT, 40 + dx * SHIFT] for dy, dx in AROUND])
    for column, window in ((40, 1.0), (50, np.exp(-2)), (80, np.exp(-32))):
        blended = now[:, 40, 40] + window * (there - now[:, 40, 40])
        moved = np.abs(probability(blended) - probability(now[:, 40, 40])).mean()
        assert by_place[40, column] == pytest.approx(moved, abs=1e-6)


@pytest.mark.slow
def test_pooling_makes_the_trunk_invariant_to_its_stride_and_coordinates_end_that() -> None:
    pictures = dots()
    moved = {}
    for arm in ("nature-gap", "coordconv-gap"):
        torch.manual_seed(1)
        policy = build_policy(arm, (4, 84, 84), 6)
        with torch.no_grad():
            policy.action_net.weight.mul_(1000)  # fresh policies are all but uniform
        moved[arm] = measured(policy, pictures).shifted
    assert moved["nature-gap"][8].max() < 1e-4
    assert moved["nature-gap"][2].min() > 1e-3, "less than a stride is no shift of the features"
    assert moved["coordconv-gap"][8].min() > 1e-3


@pytest.mark.slow
def test_own_play_is_the_same_again_and_says_where_games_ended() -> None:
    policy = build_policy("nature", (4, 84, 84), 4)

    def play() -> Played:
        agent = PolicyAgent("nature", policy)
        seeds = evaluation_seeds(2)
        return own_play(agent, ATARI, "Breakout", "v4", seeds, moments=300, steps_between=1)

    one, again = play(), play()
    assert one.observations.shape == one.following.shape == (2, 300, 4, 84, 84)
    assert np.array_equal(one.observations, again.observations)
    assert np.array_equal(
        one.following[one.same_game][:, :3], one.observations[one.same_game][:, 1:]
    )
    assert 0 < (~one.same_game).sum() < 20, "Breakout's games are short"


def test_without_a_next_step_there_is_no_distance_to_it() -> None:
    pictures = played(dots())
    ended = Played(pictures.observations, pictures.following, ~pictures.same_game)
    assert np.isnan(sensitivity(SumsPixels(), ended).following)
