"""Saliency as color on a screen: blue moves the action's probability, red the value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.places import PlaceMap
from agents.saliency import Saliency
from files.video import Frame

BLUE, RED = np.array([40.0, 110.0, 255.0]), np.array([255.0, 50.0, 40.0])
# How much of a fully colored pixel is still the screen.
SCREEN_SHOWS = 0.25
# A few steps move more than all others; they are shown as full, and do not pale the rest.
FULL_QUANTILE = 0.95
# An agent that nothing moves is not painted: full color is never less than 5 points of 100 in
# probability, and a tenth of a reward.
LEAST_PROBABILITY, LEAST_VALUE = 0.05, 0.1


@dataclass(frozen=True)
class FullColor:
    """Which movement, and any beyond it, has the full color.

    Attributes:
        probability: blue, of the chosen action.
        value: red, in discounted rewards as training counts them.
    """

    probability: float
    value: float

    def __str__(self) -> str:
        """One line for people."""
        return (
            f"blue: action's probability, full at {self.probability:.2f}; "
            f"red: value, full at {self.value:.1f}"
        )


def full_color(seen: Iterable[Saliency]) -> FullColor:
    """The scale of a clip: all but one in twenty steps stay below the full colors.

    For one scale on several agents, or over a whole clip, give it all of their steps; for a game
    that is still being played, the steps so far.
    """
    largest = [(float(s.actor.values.max()), float(s.critic.values.max())) for s in seen]
    probability, value = np.quantile(largest, FULL_QUANTILE, axis=0)
    return FullColor(max(probability, LEAST_PROBABILITY), max(value, LEAST_VALUE))


def overlaid(screen: Frame, seen: Saliency, full: FullColor) -> Frame:
    """A screen in gray, and over it in color what moves the agent: blue, red, or both as magenta.

    Opacity is proportional to the movement. Gray, so that no color is the game's.

    Args:
        screen: (H, W, 3), of which the observation is a smaller picture.
        seen: what the agent's answer to it depends on.
        full: the scale.
    """
    height, width, _ = screen.shape

    def opacity(places: PlaceMap, scale: float) -> NDArray[np.float64]:
        return np.clip(places.enlarged(height, width) / scale, 0, 1)[..., None]

    actor, critic = opacity(seen.actor, full.probability), opacity(seen.critic, full.value)
    strongest = np.maximum(actor, critic)
    # Each color in proportion to its map; where both are full it is magenta.
    color = np.maximum(actor * BLUE, critic * RED)
    gray = (screen @ np.array([0.299, 0.587, 0.114]))[..., None]  # ITU-R BT.601
    blended = gray + (1 - SCREEN_SHOWS) * (color - strongest * gray)
    return np.asarray(blended.round(), dtype=np.uint8)
