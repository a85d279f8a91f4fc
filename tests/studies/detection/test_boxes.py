from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from studies.detection.boxes import (
    corners,
    inside,
    iou,
    moved,
    moves_between,
    non_maximum_suppression,
)


def test_iou_equals_hand_computed_values() -> None:
    # (row, column, height, width)
    first = torch.tensor([[5.0, 5.0, 4.0, 6.0], [20.0, 20.0, 2.0, 2.0]])
    second = torch.tensor([[5.0, 5.0, 4.0, 6.0], [6.0, 7.0, 4.0, 6.0], [7.0, 11.0, 4.0, 6.0]])
    # Shifted by (1, 2): 3 x 4 of 24 + 24 - 12. Shifted by (2, 6): the edges touch.
    expected = torch.tensor([[1.0, 12 / 36, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(iou(first, second), expected)
    assert torch.allclose(iou(first[None], second[None])[0], expected)


def test_iou_of_a_box_within_another_equals_the_ratio_of_areas() -> None:
    large, small = torch.tensor([[8.0, 8.0, 10.0, 10.0]]), torch.tensor([[7.0, 9.0, 5.0, 2.0]])
    assert iou(large, small).item() == pytest.approx(0.1)


def test_corners_and_inside_equal_hand_computed_values() -> None:
    boxes = torch.tensor([[5.0, 6.0, 10.0, 12.0], [4.9, 6.0, 10.0, 12.0], [59.0, 58.0, 10.0, 12.0],
                          [59.0, 58.1, 10.0, 12.0]])  # fmt: skip
    assert corners(boxes[0]).tolist() == [0, 0, 10, 12]
    assert inside(boxes, 64).tolist() == [True, False, True, False]


def test_a_move_equals_hand_computed_values() -> None:
    box, move = torch.tensor([20.0, 30.0, 10.0, 20.0]), torch.tensor([0.5, -0.1, math.log(2), 0.0])
    assert moved(box, move).tolist() == pytest.approx([25, 28, 20, 20])
    assert moves_between(box, torch.tensor([25.0, 28.0, 20.0, 20.0])).tolist() == pytest.approx(
        move.tolist(), abs=1e-6
    )


SIDES = st.lists(st.floats(1, 60), min_size=4, max_size=4)


@pytest.mark.slow
@given(SIDES, SIDES)
def test_moves_turn_any_box_into_any_other(first: list[float], second: list[float]) -> None:
    before, after = torch.tensor(first).double(), torch.tensor(second).double()
    assert torch.allclose(moved(before, moves_between(before, after)), after)


def test_non_maximum_suppression_keeps_the_boxes_chosen_by_hand() -> None:
    boxes = torch.tensor([
        [10.0, 10.0, 10.0, 10.0],
        [10.0, 11.0, 10.0, 10.0],  # IoU 90/110 = .82 with the first
        [10.0, 12.0, 10.0, 10.0],  # .67 with the first, .82 with the second
        [40.0, 40.0, 10.0, 10.0],
    ])[None]  # fmt: skip
    scores = torch.tensor([[0.9, 0.8, 0.7, 0.95]])
    chosen, there = non_maximum_suppression(boxes, scores, 0.8, 4)
    # The first suppresses the second; the third stays because the second is gone.
    assert chosen[there].tolist() == [3, 0, 2]
    assert there.tolist() == [[True, True, True, False]]
    first_two, _ = non_maximum_suppression(boxes, scores, 0.8, 2)
    assert first_two.tolist() == [[3, 0]]
    strict, there = non_maximum_suppression(boxes, scores, 0.5, 4)
    assert strict[there].tolist() == [3, 0]
    # An IoU equal to the threshold does not suppress a box.
    touching = torch.tensor([[[5.0, 5.0, 10.0, 10.0], [5.0, 5.0, 10.0, 5.0]]])
    _, there = non_maximum_suppression(touching, torch.tensor([[0.5, 0.6]]), 0.5, 2)
    assert there.all()


def test_a_box_without_area_is_kept_once() -> None:
    boxes = torch.tensor([[[5.0, 5.0, 0.0, 0.0], [9.0, 9.0, 2.0, 2.0]]])
    chosen, there = non_maximum_suppression(boxes, torch.tensor([[0.9, 0.8]]), 0.8, 2)
    assert chosen[there].tolist() == [0, 1]


def _one_by_one(boxes: Tensor, scores: Tensor, threshold: float, n: int) -> list[int]:
    """Textbook non-maximum suppression."""
    kept: list[int] = []
    for k in scores.argsort(descending=True).tolist():
        shared = [iou(boxes[k, None], boxes[other, None]).item() for other in kept]
        if all(share <= threshold for share in shared) and len(kept) < n:
            kept.append(k)
    return kept


@given(st.integers(0, 2**32), st.sampled_from([0.1, 0.3, 0.5, 0.8]), st.integers(1, 12))
def test_non_maximum_suppression_equals_the_textbook_algorithm(
    seed: int, threshold: float, n: int
) -> None:
    rng = np.random.default_rng(seed)
    place, size = rng.uniform(0, 20, (3, 12, 2)), rng.uniform(3, 15, (3, 12, 2))
    boxes = torch.from_numpy(np.concatenate([place, size], axis=2))
    scores = torch.from_numpy(rng.random((3, 12)))
    chosen, there = non_maximum_suppression(boxes, scores, threshold, n)
    for k in range(3):
        assert chosen[k][there[k]].tolist() == _one_by_one(boxes[k], scores[k], threshold, n)
