"""What moves an agent, on networks whose answer can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from agents.saliency import saliency

PIXEL = (30, 50)
SCREEN = np.random.default_rng(0).integers(0, 256, (4, 84, 84), dtype=np.uint8)


class LooksAtOnePixel:
    """Prefers the first of two actions by one pixel of the newest frame; that is its value too."""

    def logits_and_values(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        seen = obs[:, -1, PIXEL[0], PIXEL[1]].float() / 100
        return torch.stack([seen, torch.zeros_like(seen)], dim=1), seen[:, None]


def removed(row: int, column: int) -> float:
    """How far the network's number moves with the place at (row, column) blurred."""
    sharp = float(SCREEN[-1, PIXEL[0], PIXEL[1]])
    blurred = gaussian_filter(SCREEN[-1].astype(np.float64), 3)[PIXEL]
    window = np.exp(-((PIXEL[0] - row) ** 2 + (PIXEL[1] - column) ** 2) / 50)
    return float(window * (blurred - sharp) / 100)


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("place", [(30, 50), (25, 50), (40, 40), (0, 80)])
def test_the_map_is_what_blurring_a_place_does(place: tuple[int, int]) -> None:
    before = float(SCREEN[-1, PIXEL[0], PIXEL[1]]) / 100
    moved = removed(*place)
    seen = saliency(LooksAtOnePixel(), SCREEN, action=0)
    value = seen.critic.enlarged(84, 84)[place]
    probability = seen.actor.enlarged(84, 84)[place]
    assert value == pytest.approx(abs(moved), abs=1e-5)
    assert probability == pytest.approx(abs(sigmoid(before + moved) - sigmoid(before)), abs=1e-5)


def test_the_most_moving_place_is_where_the_network_looks() -> None:
    seen = saliency(LooksAtOnePixel(), SCREEN, action=1)
    for map_ in (seen.actor, seen.critic):
        assert divmod(int(map_.enlarged(84, 84).argmax()), 84) == PIXEL


def test_between_places_the_map_is_bilinear_and_beyond_the_last_it_is_kept() -> None:
    map_ = saliency(LooksAtOnePixel(), SCREEN, action=0).critic
    full = map_.enlarged(84, 84)
    values = map_.values.numpy()
    assert values.shape == (17, 17)
    assert np.allclose(full[:81:5, :81:5], values)
    corners = values[6:8, 9:11]
    weights = np.outer([0.8, 0.2], [0.4, 0.6])
    assert full[31, 48] == pytest.approx(float((weights * corners).sum()))
    assert np.allclose(full[81:], full[80])
    # A pixel of a screen twice as large lies a quarter of a pixel beside the smaller one's.
    larger = map_.enlarged(168, 168)
    assert larger[60:62, 100:102].mean() == pytest.approx(full[30, 50], rel=0.06)


def test_a_plain_picture_has_nothing_to_remove() -> None:
    seen = saliency(LooksAtOnePixel(), np.full((4, 84, 84), 90, np.uint8), action=0)
    assert float(seen.actor.values.max()) == float(seen.critic.values.max()) == 0
