"""Saliency as color on a screen: blue affects the action's probability, red the value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.places import PlaceMap
from agents.saliency import Saliency
from files.video import Frame

BLUE, RED = np.array([40.0, 110.0, 255.0]), np.array([255.0, 50.0, 40.0])
# Weight of the screen in a fully colored pixel.
SCREEN_SHOWS = 0.25
# A few steps have far larger values than all others; they are clipped, so as not to pale the rest.
FULL_QUANTILE = 0.95
# Full color stands for at least 5 percentage points of probability and a tenth of a reward, so that
# an agent that nothing affects is not colored.
LEAST_PROBABILITY, LEAST_VALUE = 0.05, 0.1


@dataclass(frozen=True)
class FullColor:
    """The color scale: changes of this size or more have the full color.

    Attributes:
        probability: change of the chosen action's probability (blue).
        value: change of the value (red), in discounted rewards as in training.
    """

    probability: float
    value: float

    def __str__(self) -> str:
        """The legend on one line."""
        return (
            f"blue: action's probability, full at {self.probability:.2f}; "
            f"red: value, full at {self.value:.1f}"
        )


def full_color(seen: Iterable[Saliency]) -> FullColor:
    """The color scale of some steps: 19 of 20 stay below the full colors.

    Pass all steps of a clip, or of several agents, to give them one scale; for a game that is still
    being played, pass the steps so far.
    """
    largest = [(float(s.actor.values.max()), float(s.critic.values.max())) for s in seen]
    probability, value = np.quantile(largest, FULL_QUANTILE, axis=0)
    return FullColor(max(probability, LEAST_PROBABILITY), max(value, LEAST_VALUE))


def overlaid(screen: Frame, seen: Saliency, full: FullColor) -> Frame:
    """The screen in gray with saliency as blue, red, or magenta for both.

    Opacity is proportional to saliency. The screen is gray so that no color is the game's.

    Args:
        screen: (H, W, 3) screen that the observation was made from.
        seen: saliency of the observation.
        full: the color scale.
    """
    height, width, _ = screen.shape

    def opacity(places: PlaceMap, scale: float) -> NDArray[np.float64]:
        return np.clip(places.enlarged(height, width) / scale, 0, 1)[..., None]

    actor, critic = opacity(seen.actor, full.probability), opacity(seen.critic, full.value)
    strongest = np.maximum(actor, critic)
    # Each color is proportional to its map; both together give magenta.
    color = np.maximum(actor * BLUE, critic * RED)
    gray = (screen @ np.array([0.299, 0.587, 0.114]))[..., None]  # ITU-R BT.601
    blended = gray + (1 - SCREEN_SHOWS) * (color - strongest * gray)
    return np.asarray(blended.round(), dtype=np.uint8)
