"""Where an agent looks: how far its policy moves when the same picture is shifted by a few pixels.

Liu et al. 2018 (arXiv:1807.03247) say that CoordConv learns "complete translation invariance or
varying degrees of translation dependence, as required by the end task". This measures it for a
whole agent, whatever its layers are, by the total variation distance of two action distributions,

    TV(p, q) = ½ Σ |p(a) - q(a)|,

the largest difference in probability that any set of actions can have: 0 where the agent plays
the same, 1 where no action is left in common.

- The whole picture moves by s pixels up, down, left or right, all frames of the stack alike; its
  border is repeated where nothing is known. The mean of TV over observations and directions.
- Of a place: the picture is replaced by its shifted self under the window about the place that
  saliency uses, so that only what is there has moved; the mean likewise.
- As yardsticks, TV between an observation and the next one of the game, and between observations
  of different games.
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
# Of the map and of the number that stands for all. It is the stride of the Nature-CNN's first
# layer, so that nothing but place changes for that layer.
SHIFT = 4
DIRECTIONS = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class Played:
    """Observations of an agent's own play.

    Attributes:
        observations: (games, moments, C, H, W) uint8.
        following: those one step later, of the same shape.
        same_game: (games, moments), whether no game ended in between.
    """

    observations: NDArray[np.uint8]
    following: NDArray[np.uint8]
    same_game: NDArray[np.bool_]


@dataclass(frozen=True)
class Sensitivity:
    """How far a policy moves with its picture, as mean total variation distances.

    Attributes:
        shifted: by pixels of the shift, one for each game.
        following: to the next observation; NaN if every game ended with the first.
        another: to an observation of another game.
        by_place: of a shift by `SHIFT` pixels of what is at a place.
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
    """Observations from games of the agent's own, each begun from a seed.

    Args:
        agent: what plays.
        family: of the game.
        game: its name.
        protocol: the rules.
        seeds: one for each game; a game that ends is followed by another.
        moments: observations of each game.
        steps_between: agent steps before each of them.
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
    """How far a policy moves with the pictures of at least two games."""
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
    """Pictures (..., H, W) moved by so many pixels down and to the right, or against that."""
    for axis, sign in zip((-2, -1), direction, strict=True):
        size = pictures.shape[axis]
        origins = (torch.arange(size) - sign * pixels).clamp(0, size - 1)
        pictures = pictures.index_select(axis, origins)
    return pictures
