"""Change one place of a picture at a time, and map the effect of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

# Greydanus et al. 2018, section 3, in pixels of the observation: a Gaussian with σ² = 25 around
# every fifth pixel.
EVERY = 5
WINDOW_SIGMA = 5.0
# 10 MB of float32 at 4×84×84. Larger allocations are new memory that the system clears each time.
PICTURES_AT_ONCE = 96


class ActorCritic(Protocol):
    """A policy with action logits and values, such as `AtariPolicy`."""

    def logits_and_values(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, n_actions) and values (N, 1) for images (N, C, H, W) from 0 to 255."""
        ...


@dataclass(frozen=True)
class PlaceMap:
    """A number for every fifth pixel of a picture, in both directions.

    Attributes:
        values: (rows, columns), starting at pixel 0.
        size: height and width of the picture.
    """

    values: Tensor
    size: tuple[int, int]

    def enlarged(self, height: int, width: int) -> NDArray[Any]:
        """The map (height, width) at any size, interpolated bilinearly between places."""
        rows, columns = (_shares(*sizes) for sizes in zip(self.size, (height, width), strict=True))
        return (rows @ self.values.cpu().double() @ columns.T).numpy()


def answers(policy: ActorCritic, images: Tensor) -> tuple[Tensor, Tensor]:
    """Probabilities (N, n_actions) and values (N,), float64, for images (N, C, H, W)."""
    with torch.no_grad():
        logits, values = policy.logits_and_values(images)
    return logits.double().softmax(dim=1), values.double().squeeze(1)


def answers_by_place(
    policy: ActorCritic, picture: Tensor, replacement: Tensor
) -> tuple[Tensor, Tensor]:
    """A policy's `answers` with one place replaced at a time, row by row.

    Args:
        policy: the policy; it evaluates all places.
        picture: (C, H, W) float.
        replacement: of the same shape; it replaces the picture in a window around the place.
    """
    # Channels last, which is faster in convolutions.
    shown, difference = (
        image.permute(1, 2, 0).contiguous() for image in (picture, replacement - picture)
    )
    parts = [
        answers(policy, torch.addcmul(shown, windows, difference).permute(0, 3, 1, 2))
        for windows in torch.split(_windows(*picture.shape[1:]), PICTURES_AT_ONCE)
    ]
    probabilities, values = map(torch.cat, zip(*parts, strict=True))
    return probabilities, values


def of_places(values: Tensor, size: tuple[int, int]) -> PlaceMap:
    """The map made from the numbers (places,) of a picture's places, row by row."""
    return PlaceMap(values.reshape(*(len(_places(length)) for length in size)), size)


def _places(size: int) -> Tensor:
    return torch.arange(0, size, EVERY)


@cache
def _windows(height: int, width: int) -> Tensor:
    """A Gaussian of height 1 around each place: (places, H, W, 1)."""
    rows, columns = (
        torch.exp(-0.5 * ((torch.arange(size) - _places(size)[:, None]) / WINDOW_SIGMA) ** 2)
        for size in (height, width)
    )
    return (rows[:, None, :, None] * columns[None, :, None, :]).reshape(-1, height, width, 1)


@cache
def _shares(size: int, enlarged: int) -> Tensor:
    """Interpolation weights (enlarged, places) from an axis's places to `enlarged` pixels."""
    places = _places(size)
    centers = (torch.arange(enlarged).double() + 0.5) * size / enlarged - 0.5
    centers = centers.clamp(0, int(places[-1]))
    return (1 - (centers[:, None] - places).abs() / EVERY).clamp(min=0)
