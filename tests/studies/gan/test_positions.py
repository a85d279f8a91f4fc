from __future__ import annotations

import numpy as np
import pytest

from studies.gan.positions import correlation_dimension, spread

RNG = np.random.default_rng(1)
CANVAS = 64


def test_an_area_is_of_two_dimensions_a_curve_of_one_and_spots_of_none() -> None:
    area = RNG.random((4_000, 2)) * CANVAS
    turn = 2 * np.pi * RNG.random(4_000)
    circle = CANVAS / 2 + 25 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    spots = RNG.choice([10.0, 50.0], (4_000, 1)) + RNG.normal(0, 0.2, (4_000, 2))
    # An area's border takes a little.
    assert correlation_dimension(area, CANVAS) == pytest.approx(1.85, abs=0.1)
    assert correlation_dimension(circle, CANVAS) == pytest.approx(1, abs=0.1)
    assert correlation_dimension(spots, CANVAS) == pytest.approx(0, abs=0.05)


def test_a_dimension_by_hand() -> None:
    # Of three points one pair is within 4, all three are within 16: three times the pairs.
    points = np.array([[0.0, 0.0], [0.0, 3.0], [0.0, 12.0]])
    assert correlation_dimension(points, 64) == pytest.approx(np.log(3) / np.log(4))
    assert correlation_dimension(points[:1], 64) == 0
    assert correlation_dimension(points[1:], 64) == 0  # no pair is near


def test_the_dimension_does_not_depend_on_how_many_there_are() -> None:
    few, many = (correlation_dimension(RNG.random((n, 2)) * CANVAS, CANVAS) for n in (500, 5_000))
    assert few == pytest.approx(many, abs=0.1)


def test_coverage_and_entropy_by_hand() -> None:
    size = CANVAS / 11
    cell = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * size + size / 2
    reference = np.repeat(cell, 10, axis=0)
    whole = spread(reference, CANVAS, reference)
    assert (whole.coverage, whole.entropy) == (1, 2)
    # Three quarters of the points in one cell, a quarter in another; nothing in the last two.
    some = spread(cell[[0, 0, 0, 1]], CANVAS, reference)
    assert some.coverage == 0.5
    assert some.entropy == pytest.approx(0.75 * np.log2(4 / 3) + 0.25 * 2)
    # Where no real image has anything, nothing is covered and no entropy gained.
    beyond = spread(cell + 30, CANVAS, reference)
    assert (beyond.coverage, beyond.entropy) == (0, 0)
    both = spread(np.concatenate([cell[[0, 1]], cell + 30]), CANVAS, reference)
    assert (both.coverage, both.entropy) == (0.5, 1)


def test_differences_may_be_negative() -> None:
    reference = RNG.uniform(-40, 40, (20_000, 2))
    same = spread(RNG.uniform(-40, 40, (20_000, 2)), CANVAS, reference)
    assert same.coverage == 1
    half = spread(reference[reference[:, 0] > 0], CANVAS, reference)
    assert half.coverage == pytest.approx(0.5, abs=0.05)


def test_nothing_covers_nothing() -> None:
    nothing = spread(np.empty((0, 2)), CANVAS, RNG.random((10, 2)))
    assert (nothing.coverage, nothing.entropy, nothing.dimension) == (0, 0, 0)
