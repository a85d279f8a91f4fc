from __future__ import annotations

import math

import pytest

from studies.intervals import Interval, differences, in_columns, mean_interval, shown


def test_students_interval_equals_hand_computed_values() -> None:
    # Mean 2, deviation 1, three values: t(.975, 2) = 4.3027, over the root of 3.
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.high - 2 == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert 2 - found.low == pytest.approx(found.high - 2)
    same = mean_interval([5.0, 5.0])
    assert (same.low, same.high) == (5, 5)


def test_one_seed_has_no_interval() -> None:
    alone = mean_interval([3.0])
    assert alone.mean == 3
    assert math.isnan(alone.low)
    assert f"{alone:.1f}" == "3.0"


def test_differences_include_only_seeds_that_both_have() -> None:
    assert differences({1: 5.0, 2: 7.0, 4: 1.0}, {2: 4.0, 1: 1.0, 3: 9.0}) == [4, 3]
    assert differences({1: 1.0}, {}) == []


def test_columns_of_an_interval_are_filled_and_shown() -> None:
    row = in_columns(Interval(1.0, 0.5, 1.5), "x_")
    assert row == {"x_mean": 1, "x_low": 0.5, "x_high": 1.5}
    assert shown(row, "+.1f", "x_") == "+1.0 (+0.5 to +1.5)"
    assert shown(in_columns(None), ".1f") == shown(None, ".1f") == ""
