"""Places of a picture: windows that change one place at a time, and maps of what each one does."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

# Greydanus et al. 2018, section 3, in pixels of the observation: a Gaussian with σ² = 25 about
# every fifth pixel.
EVERY = 5
WINDOW_SIGMA = 5.0
# 10 MB of float32 at 4×84×84: the system clears larger new memory page by page.
PICTURES_AT_ONCE = 96


class ActorCritic(Protocol):
    """A policy that can be asked, such as `AtariPolicy`."""

    def logits_and_values(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, n_actions) and values (N, 1) for images (N, C, H, W) from 0 to 255."""
        ...


@dataclass(frozen=True)
class PlaceMap:
    """A number for every fifth pixel of a picture's height and width.

    Attributes:
        values: (rows, columns), the first of both at pixel 0.
        size: height and width of the picture.
    """

    values: Tensor
    size: tuple[int, int]

    def enlarged(self, height: int, width: int) -> NDArray[Any]:
        """The map (height, width) of the whole picture at any size, bilinear between places."""
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
    """A policy's answers with one place at a time replaced, row by row, as `answers` gives them.

    Args:
        policy: asked about all places.
        picture: (C, H, W) float.
        replacement: of the same shape; it shows through a window about the place.
    """
    # Channels last, as convolutions like it.
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
    """The map of a picture's places from their numbers (places,), row by row."""
    return PlaceMap(values.reshape(*(len(_places(length)) for length in size)), size)


def _places(size: int) -> Tensor:
    return torch.arange(0, size, EVERY)


@cache
def _windows(height: int, width: int) -> Tensor:
    """A Gaussian of height 1 about each place: (places, H, W, 1)."""
    rows, columns = (
        torch.exp(-0.5 * ((torch.arange(size) - _places(size)[:, None]) / WINDOW_SIGMA) ** 2)
        for size in (height, width)
    )
    return (rows[:, None, :, None] * columns[None, :, None, :]).reshape(-1, height, width, 1)


@cache
def _shares(size: int, enlarged: int) -> Tensor:
    """What each place of an axis gives to each of its pixels when there are `enlarged` of them."""
    places = _places(size)
    centers = (torch.arange(enlarged).double() + 0.5) * size / enlarged - 0.5
    centers = centers.clamp(0, int(places[-1]))
    return (1 - (centers[:, None] - places).abs() / EVERY).clamp(min=0)
