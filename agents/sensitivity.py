"""Sensitivity: how much an agent's policy changes when the picture is shifted by a few pixels.

Liu et al. 2018 (arXiv:1807.03247) say that CoordConv learns "complete translation invariance or
varying degrees of translation dependence, as required by the end task". This measures it for a
whole agent, whatever its layers are, by the total variation distance of two action distributions,

    TV(p, q) = ½ Σ |p(a) - q(a)|,

the largest difference in probability that any set of actions can have: 0 if the distributions are
equal, 1 if they have no action in common.

- For the whole picture, all frames of the stack are shifted by s pixels up, down, left or right,
  and the border is repeated. The result is the mean TV over observations and directions.
- For a place, the picture is replaced by the shifted picture in a window around the place, as in
  saliency, so that only this place is shifted. The result is the mean in the same way.
- For comparison, TV is also measured between an observation and the next one of the game, and
  between observations of different games.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.agent import PolicyAgent, playing
from agents.places import ActorCritic, PlaceMap, answers, answers_by_place, of_places
from envs.family import Family

SHIFTS = (1, 2, 4, 8)  # pixels of the observation
# The shift of the map and of the summary number. It is the stride of the Nature-CNN's first layer,
# so that only position changes for that layer.
SHIFT = 4
DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class Played:
    """Observations from an agent's own play.

    Attributes:
        observations: (games, moments, C, H, W) uint8.
        following: the observations one step later, with the same shape.
        same_game: (games, moments), whether the game did not end in between.
    """

    observations: NDArray[np.uint8]
    following: NDArray[np.uint8]
    same_game: NDArray[np.bool_]


@dataclass(frozen=True)
class Sensitivity:
    """How much a policy changes with its picture, as mean total variation distances.

    Attributes:
        shifted: distances by pixels of the shift, one for each game.
        following: distance to the next observation; NaN if every game ended with the first.
        another: distance to an observation of another game.
        by_place: distances for a shift of each place by `SHIFT` pixels.
        picture: mean of the newest frames (H, W).
    """

    shifted: Mapping[int, NDArray[np.float64]]
    following: float
    another: float
    by_place: PlaceMap
    picture: NDArray[np.float64]


def own_play(
    agent: PolicyAgent,
    family: Family,
    game: str,
    protocol: str,
    seeds: Sequence[int],
    *,
    moments: int,
    steps_between: int,
) -> Played:
    """Play games with the agent and take observations from them.

    Args:
        agent: the agent that plays.
        family: the game's family.
        game: the game's name.
        protocol: the protocol's name.
        seeds: one for each game; a game that ends is followed by another.
        moments: number of observations from each game.
        steps_between: agent steps before each observation.
    """
    env = family.make_vec_env(game, len(seeds), protocol, training=False, threads=1)
    taken: list[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]] = []
    with closing(env), playing(agent):
        observations = env.reset_games(seeds)
        generators = [np.random.default_rng(seed) for seed in seeds]
        for step in range(1, moments * steps_between + 1):
            before = observations.copy()
            observations, _, dones, _ = env.step(agent.act(before, generators))
            if step % steps_between == 0:
                taken.append((before, observations.copy(), ~dones))
    return Played(*(np.stack(parts, axis=1) for parts in zip(*taken, strict=True)))


def sensitivity(policy: ActorCritic, played: Played) -> Sensitivity:
    """Measure how much a policy changes with the pictures of at least two games."""
    games, moments, *shape = played.observations.shape
    pictures = torch.as_tensor(played.observations).float().reshape(-1, *shape)
    policies, _ = answers(policy, pictures)
    following, _ = answers(policy, torch.as_tensor(played.following).reshape(-1, *shape))
    game = torch.arange(games).repeat_interleave(moments)
    pairs = distance(policies[:, None], policies)[game[:, None] != game]
    return Sensitivity(
        {
            pixels: torch.stack(
                [
                    distance(policies, answers(policy, shifted(pictures, pixels, direction))[0])
                    for direction in DIRECTIONS
                ]
            )
            .mean(dim=0)
            .reshape(games, moments)
            .mean(dim=1)
            .numpy()
            for pixels in SHIFTS
        },
        float(distance(policies, following)[torch.as_tensor(played.same_game).flatten()].mean()),
        float(pairs.mean()),
        _by_place(policy, pictures, policies),
        pictures[:, -1].double().mean(dim=0).numpy(),
    )


def _by_place(policy: ActorCritic, pictures: Tensor, policies: Tensor) -> PlaceMap:
    moved = [
        distance(before, answers_by_place(policy, picture, after)[0])
        for picture, before in zip(pictures, policies, strict=True)
        for after in (shifted(picture, SHIFT, direction) for direction in DIRECTIONS)
    ]
    height, width = pictures.shape[-2:]
    return of_places(torch.stack(moved).mean(dim=0), (height, width))


def distance(one: Tensor, other: Tensor) -> Tensor:
    """Total variation distances of distributions (..., n_actions)."""
    return (one - other).abs().sum(dim=-1) / 2


def shifted(pictures: Tensor, pixels: int, direction: tuple[int, int]) -> Tensor:
    """Pictures (..., H, W) shifted by `pixels` in a (down, right) direction; borders repeat."""
    for axis, sign in zip((-2, -1), direction, strict=True):
        size = pictures.shape[axis]
        origins = (torch.arange(size) - sign * pixels).clamp(0, size - 1)
        pictures = pictures.index_select(axis, origins)
    return pictures
