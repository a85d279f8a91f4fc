"""Ratios are taken within a turn, and workers report what the tables are made of."""

from __future__ import annotations

import pytest
import torch

from benchmarks.__main__ import with_section
from benchmarks.measure import in_own_process, table, taking_turns
from benchmarks.stock_sb3 import ConcatenatingCoordConv
from coordconv import ConcatCoordConv2d


def test_contestants_take_turns_and_another_one_begins_each() -> None:
    order: list[str] = []

    def contestant(name: str) -> float:
        order.append(name)
        return float(len(order))

    values = taking_turns({"a": lambda: contestant("a"), "b": lambda: contestant("b")}, 3)
    assert "".join(order) == "abbaab"
    assert values == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_the_table_shows_medians_of_ratios_within_turns() -> None:
    values = {"stock": [1.0, 2.0, 4.0], "suite": [2.0, 3.0, 12.0]}
    lines = table(values, "stock", "steps/s", more_is_better=True).splitlines()
    assert lines[2] == "| stock | 2.00 (1.00–4.00) | 1.00 (1.00–1.00) |"
    # 2/1, 3/2 and 12/4: the ratio of the medians would be 1.5.
    assert lines[3] == "| suite | 3.00 (2.00–12.00) | 2.00 (1.50–3.00) |"
    slower = table(values, "stock", "ms", more_is_better=False).splitlines()[3]
    assert slower.endswith("| 0.50 (0.33–0.67) |")


@pytest.mark.slow
@pytest.mark.parametrize("contestant", ["stock", "suite"])
def test_a_worker_trains_and_reports(contestant: str) -> None:
    result = in_own_process(
        "benchmarks.training", contestant, "a2c", "Pong", "coordconv", 1, 160, cores="0"
    )
    assert result["per_second"] > 0
    assert result["peak_mb"] > 100
    if contestant == "suite":
        assert sum(result["ms"].values()) == pytest.approx(1000 / result["per_second"])
        assert min(result["ms"]["rollout"], result["ms"]["update"]) > 0


@pytest.mark.slow
def test_a_worker_that_fails_is_not_a_result() -> None:
    with pytest.raises(RuntimeError, match="unknown game"):
        in_own_process("benchmarks.training", "suite", "a2c", "Pnog", "nature", 1, 160)


def test_the_opponent_is_the_layer_of_the_paper() -> None:
    opponent, reference = ConcatenatingCoordConv(3, 5, 4, 2), ConcatCoordConv2d(3, 5, 4, stride=2)
    (convolution,) = reference.children()
    convolution.load_state_dict(opponent.state_dict())
    images = torch.rand(2, 3, 9, 12)
    torch.testing.assert_close(opponent(images), reference(images))


def test_a_benchmark_replaces_its_own_section_of_the_page() -> None:
    page = with_section("# Performance\n", "layer", "old")
    page = with_section(page, "training", "other") + "\nWords.\n"
    changed = with_section(page, "layer", "new")
    assert changed == page.replace("old", "new")
    assert changed.index("new") < changed.index("other") < changed.index("Words.")
