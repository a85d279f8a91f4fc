"""Saliency as color on a screen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.places import PlaceMap
from agents.saliency import Saliency
from evaluation.overlay import LEAST_PROBABILITY, FullColor, full_color, overlaid

SCREEN = np.random.default_rng(0).integers(0, 256, (210, 160, 3), dtype=np.uint8)
FULL = FullColor(0.5, 4.0)


def seen(actor: float = 0.0, critic: float = 0.0) -> Saliency:
    """Movements at the one place in the middle of the screen."""
    maps = []
    for value in (actor, critic):
        values = torch.zeros(17, 17)
        values[8, 8] = value
        maps.append(PlaceMap(values, (84, 84)))
    return Saliency(*maps)


def test_where_nothing_moves_the_screen_is_gray() -> None:
    picture = overlaid(SCREEN, seen(), FULL)
    assert np.array_equal(picture[..., 0], picture[..., 1])
    assert np.array_equal(picture[..., 1], picture[..., 2])
    assert np.abs(picture[..., 0] - SCREEN @ [0.299, 0.587, 0.114]).max() <= 0.5


def test_blue_is_the_action_red_the_value_and_both_are_magenta() -> None:
    dark = np.zeros_like(SCREEN)
    for shown, stronger, weaker in (
        (seen(actor=0.5), [2], [0, 1]),
        (seen(critic=4.0), [0], [1, 2]),
        (seen(0.5, 4.0), [0, 2], [1]),
    ):
        picture = overlaid(dark, shown, FULL)
        # Pixel 40 of 84 is the middle of pixels 100 to 102 of 210, and 76 to 78 of 160.
        spot = picture[101, 77].astype(int)
        assert spot[stronger].min() > spot[weaker].max() + 60
        assert picture[:70].max() == picture[:, :50].max() == 0


def test_opacity_is_in_proportion_until_it_is_full() -> None:
    dark = np.zeros_like(SCREEN)
    blue = [int(overlaid(dark, seen(actor=a), FULL)[101, 77, 2]) for a in (0.125, 0.25, 0.5, 5.0)]
    assert blue[1] == pytest.approx(2 * blue[0], abs=1)
    assert blue[2] == pytest.approx(4 * blue[0], abs=8)
    assert blue[3] - blue[2] < 0.15 * blue[2], "beyond full, the spot only widens"


def test_one_scale_serves_a_whole_clip() -> None:
    clip = [seen(actor=step / 100, critic=step) for step in range(101)]
    full = full_color(clip)
    assert (full.probability, full.value) == pytest.approx((0.95, 95))
    assert str(full) == "blue: action's probability, full at 0.95; red: value, full at 95.0"


def test_an_agent_that_nothing_moves_is_not_painted() -> None:
    full = full_color([seen(actor=0.001)] * 3)
    assert full.probability == LEAST_PROBABILITY
    picture = overlaid(np.zeros_like(SCREEN), seen(actor=0.001), full)
    assert picture.max() < 5
