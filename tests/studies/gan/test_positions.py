from __future__ import annotations

import numpy as np
import pytest

from studies.gan.positions import correlation_dimension, spread

RNG = np.random.default_rng(1)
CANVAS = 64


def test_an_area_has_dimension_two_a_curve_one_and_spots_zero() -> None:
    area = RNG.random((4_000, 2)) * CANVAS
    turn = 2 * np.pi * RNG.random(4_000)
    circle = CANVAS / 2 + 25 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    spots = RNG.choice([10.0, 50.0], (4_000, 1)) + RNG.normal(0, 0.2, (4_000, 2))
    # The border of the area lowers its dimension a little.
    assert correlation_dimension(area, CANVAS) == pytest.approx(1.85, abs=0.1)
    assert correlation_dimension(circle, CANVAS) == pytest.approx(1, abs=0.1)
    assert correlation_dimension(spots, CANVAS) == pytest.approx(0, abs=0.05)


def test_a_dimension_equals_a_hand_computed_value() -> None:
    # One pair of points is within 4 and all three pairs are within 16: three times the pairs.
    points = np.array([[0.0, 0.0], [0.0, 3.0], [0.0, 12.0]])
    assert correlation_dimension(points, 64) == pytest.approx(np.log(3) / np.log(4))
    assert correlation_dimension(points[:1], 64) == 0
    assert correlation_dimension(points[1:], 64) == 0  # no pair is near


def test_the_dimension_does_not_depend_on_the_number_of_points() -> None:
    few, many = (correlation_dimension(RNG.random((n, 2)) * CANVAS, CANVAS) for n in (500, 5_000))
    assert few == pytest.approx(many, abs=0.1)


def test_coverage_and_entropy_equal_hand_computed_values() -> None:
    size = CANVAS / 11
    cell = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * size + size / 2
    reference = np.repeat(cell, 10, axis=0)
    whole = spread(reference, CANVAS, reference)
    assert (whole.coverage, whole.entropy) == (1, 2)
    # Three quarters of the points in one cell, a quarter in another; nothing in the last two.
    some = spread(cell[[0, 0, 0, 1]], CANVAS, reference)
    assert some.coverage == 0.5
    assert some.entropy == pytest.approx(0.75 * np.log2(4 / 3) + 0.25 * 2)
    # Cells that no real image uses count for neither coverage nor entropy.
    beyond = spread(cell + 30, CANVAS, reference)
    assert (beyond.coverage, beyond.entropy) == (0, 0)
    both = spread(np.concatenate([cell[[0, 1]], cell + 30]), CANVAS, reference)
    assert (both.coverage, both.entropy) == (0.5, 1)


def test_positions_may_be_negative() -> None:
    reference = RNG.uniform(-40, 40, (20_000, 2))
    same = spread(RNG.uniform(-40, 40, (20_000, 2)), CANVAS, reference)
    assert same.coverage == 1
    half = spread(reference[reference[:, 0] > 0], CANVAS, reference)
    assert half.coverage == pytest.approx(0.5, abs=0.05)


def test_the_spread_of_no_positions_is_zero() -> None:
    nothing = spread(np.empty((0, 2)), CANVAS, RNG.random((10, 2)))
    assert (nothing.coverage, nothing.entropy, nothing.dimension) == (0, 0, 0)
