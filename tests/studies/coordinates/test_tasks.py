from __future__ import annotations

import math

import pytest
import torch

from studies.coordinates.data import NotSoClevr
from studies.coordinates.tasks import Classification, Regression, Rendering

DATA = NotSoClevr(canvas=16, square=3)
POSITIONS = torch.tensor([[3, 5], [10, 2]])


def test_accuracy_equals_hand_computed_values() -> None:
    task = Classification(DATA)
    logits = torch.zeros(2, 1, 16, 16)
    logits[0, 0, 3, 5] = 1.0
    logits[1, 0, 2, 10] = 1.0  # row and column exchanged
    scores = task.scores(logits, POSITIONS)
    assert scores.tolist() == [1.0, 0.0]
    assert not task.is_perfect(scores)
    assert task.is_perfect(scores[:1])


def test_cross_entropy_equals_a_hand_computed_value() -> None:
    logits = torch.zeros(2, 1, 16, 16)
    loss = Classification(DATA)._loss(logits, POSITIONS)
    assert loss.item() == pytest.approx(math.log(256))


def test_iou_equals_hand_computed_values() -> None:
    task = Rendering(DATA)
    logits = torch.full((2, 1, 16, 16), -1.0)
    logits[0, 0, 2:5, 4:7] = 1.0  # exactly the true square
    logits[1, 0, 9:12, 2:5] = 1.0  # one column to the right: 6 pixels of 12
    scores = task.scores(logits, POSITIONS)
    assert scores.tolist() == [1.0, 0.5]
    assert not task.is_perfect(scores)


def test_distance_equals_hand_computed_values() -> None:
    task = Regression(DATA)
    output = torch.tensor([[5 / 16, 3 / 16], [(2 + 3) / 16, (10 - 4) / 16]])
    scores = task.scores(output, POSITIONS)
    assert scores.tolist() == pytest.approx([0.0, 5.0])
    assert not task.is_perfect(scores)
    assert task.is_perfect(torch.tensor([0.0, 0.49]))


def test_the_intermediate_loss_adds_the_inner_classifiers_loss() -> None:
    torch.manual_seed(0)
    with_it, without = Rendering(DATA, intermediate_loss=0.1), Rendering(DATA)
    network = with_it.network("coordconv", "quadrant", kernel=3, multiplier=1)
    center_loss = Classification(DATA).loss(network.classifier, POSITIONS)  # type: ignore[arg-type]
    expected = without.loss(network, POSITIONS) + 0.1 * center_loss
    torch.testing.assert_close(with_it.loss(network, POSITIONS), expected)
