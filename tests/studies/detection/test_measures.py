from __future__ import annotations

import pytest
import torch

from studies.detection.measures import fit, fit_of_the_truth, proposed
from studies.detection.network import Proposals

DIGITS = torch.tensor([[[10.0, 10.0, 10.0, 10.0], [30.0, 30.0, 10.0, 10.0]]])


def test_the_fit_equals_hand_computed_values() -> None:
    boxes = torch.tensor([[
        [10.0, 10.0, 10.0, 10.0], [10.0, 15.0, 10.0, 10.0], [50.0, 50.0, 10.0, 10.0],
    ]])  # fmt: skip
    there = torch.tensor([[True, True, True]])
    # IoU with the digits: (1, 0), (1/3, 0), (0, 0).
    found = fit(boxes, there, DIGITS)
    assert found.average.tolist() == pytest.approx([(4 / 3) / 6])
    assert found.best.tolist() == pytest.approx([(4 / 3) / 3])
    assert found.found.tolist() == pytest.approx([0.5])
    # Missing proposals do not count.
    found = fit(boxes, torch.tensor([[False, True, True]]), DIGITS)
    assert found.average.tolist() == pytest.approx([(1 / 3) / 4])
    assert found.best.tolist() == pytest.approx([1 / 6])
    assert found.found.tolist() == pytest.approx([1 / 6])


def test_the_digits_own_boxes_average_one_over_the_number_of_digits() -> None:
    """The paper's IoU is small because it compares each box with every digit."""
    truth = fit_of_the_truth(DIGITS)
    assert (truth.average.item(), truth.best.item(), truth.found.item()) == (0.5, 1, 1)


def test_proposals_are_moved_anchors_sorted_by_score() -> None:
    anchors = torch.tensor([[10.0 * k, 10.0 * k, 5.0, 5.0] for k in range(12)])
    moves = torch.zeros(1, 12, 4)
    moves[..., 0] = 0.2  # a pixel down
    logits = torch.zeros(1, 12, 2)
    logits[0, :, 0] = torch.arange(12.0)
    found = proposed(Proposals(moves, logits), anchors)
    assert found.boxes[0, :, 0].tolist() == pytest.approx([10 * k + 1 for k in range(11, 1, -1)])
    assert found.scores[0, 0].item() == pytest.approx(1 / (1 + 2.718281828**-11))
    assert found.there.all()
