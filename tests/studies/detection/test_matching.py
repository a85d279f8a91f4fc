from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from studies.detection.boxes import iou
from studies.detection.matching import losses, sample, smooth_l1
from studies.detection.network import Proposals

CANVAS = 40
DIGITS = torch.tensor([[[10.0, 10.0, 10.0, 10.0], [30.0, 30.0, 8.0, 8.0]]])
BOXES = torch.tensor([[
    [10.0, 10.0, 10.0, 10.0],  # 0: digit 0 itself
    [10.0, 12.0, 10.0, 10.0],  # 1: .67 with digit 0
    [10.0, 14.0, 10.0, 10.0],  # 2: .43, neither
    [27.0, 27.0, 8.0, 8.0],    # 3: .24 with digit 1, closest to it
    [10.0, 30.0, 10.0, 10.0],  # 4: none
    [30.0, 10.0, 10.0, 10.0],  # 5: none
    [2.0, 30.0, 10.0, 10.0],   # 6: none, but beyond the canvas
]])  # fmt: skip
POSITIVE, NEGATIVE = {(0, 0), (1, 0), (3, 1)}, {4, 5}


def _generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _pairs(samples: object) -> set[tuple[int, int]]:
    there = samples.positive_there[0]  # type: ignore[attr-defined]
    pairs = zip(samples.positive[0][there], samples.digit[0][there], strict=True)  # type: ignore[attr-defined]
    return {(int(box), int(digit)) for box, digit in pairs}


def test_positive_and_negative_boxes_are_those_chosen_by_hand() -> None:
    samples = sample(iou(BOXES, DIGITS), BOXES, CANVAS, _generator())
    assert _pairs(samples) == POSITIVE
    assert samples.positive_there.sum() == 3
    assert set(samples.negative[0][samples.negative_there[0]].tolist()) == NEGATIVE


def test_a_box_beyond_the_canvas_is_positive_only_if_it_is_closest() -> None:
    digits = torch.tensor([[[4.0, 10.0, 8.0, 10.0]]])
    boxes = torch.tensor([[[4.0, 10.0, 8.0, 10.0], [3.9, 10.0, 8.0, 10.0], [30.0, 30.0, 4.0, 4.0]]])
    samples = sample(iou(boxes, digits), boxes, CANVAS, _generator())
    assert _pairs(samples) == {(0, 0)}
    # The closest box is positive even if it is partly outside.
    samples = sample(iou(boxes[:, 1:], digits), boxes[:, 1:], CANVAS, _generator())
    assert _pairs(samples) == {(0, 0)}


def test_the_closest_box_is_never_negative_even_if_its_iou_is_low() -> None:
    digits = torch.tensor([[[30.0, 30.0, 8.0, 8.0]]])
    boxes = torch.tensor([[[36.0, 36.0, 8.0, 8.0], [10.0, 10.0, 8.0, 8.0]]])
    shared = iou(boxes, digits)
    assert 0 < shared[0, 0, 0] < 0.1
    samples = sample(shared, boxes, CANVAS, _generator())
    assert _pairs(samples) == {(0, 0)}
    assert samples.negative[0][samples.negative_there[0]].tolist() == [1]


def test_without_negative_boxes_all_boxes_that_are_not_positive_are_used() -> None:
    digits = torch.tensor([[[10.0, 10.0, 10.0, 10.0]]])
    samples = sample(iou(BOXES[:, :3], digits), BOXES[:, :3], CANVAS, _generator())
    assert samples.negative[0][samples.negative_there[0]].tolist() == [2]


def test_six_boxes_of_each_kind_are_drawn_at_random() -> None:
    many = BOXES.repeat(2, 5, 1)
    digits = DIGITS.repeat(2, 1, 1)
    seen = set()
    for seed in range(40):
        samples = sample(iou(many, digits), many, CANVAS, _generator(seed))
        assert samples.positive.shape == samples.negative.shape == (2, 6)
        assert samples.positive_there.all()
        assert samples.negative_there.all()
        assert {k % 7 for k in samples.negative.flatten().tolist()} <= NEGATIVE
        for boxes in (samples.positive, samples.negative):
            seen |= set(boxes[0].tolist())
    # All copies of 0, 1, 4 and 5 can be drawn. Box 3 has an IoU below .5, so only its first copy,
    # which counts as the closest box, can.
    wanted = {k + 7 * copy for k in (0, 1, 4, 5) for copy in range(5)} | {3}
    assert seen == wanted


def test_smooth_l1_equals_hand_computed_values() -> None:
    assert smooth_l1(torch.tensor([[0.5, -0.5, 2.0, -3.0]])).item() == 0.25 + 0.25 + 2 + 3
    assert smooth_l1(torch.tensor([[1.0]])).item() == 1


def _outputs(moves: Tensor, logits: Tensor) -> Proposals:
    return Proposals(moves.clone().requires_grad_(), logits.clone().requires_grad_())


def test_losses_equal_hand_computed_values() -> None:
    samples = sample(iou(BOXES, DIGITS), BOXES, CANVAS, _generator())
    anchors = BOXES[0]
    outputs = _outputs(torch.zeros(1, 7, 4), torch.zeros(1, 7, 2))
    moves_loss, scores_loss = losses(outputs, anchors, DIGITS, samples)
    # The outputs move nothing. Box 0 should stay, box 1 should move by -2/10 along the columns, and
    # box 3 by 3/8 along both axes.
    assert moves_loss.item() == pytest.approx((0 + 0.04 + 2 * (3 / 8) ** 2) / 3)
    assert scores_loss.item() == pytest.approx(math.log(2))
    # Only the drawn boxes get gradients.
    (moves_loss + scores_loss).backward()
    assert outputs.moves.grad is not None
    assert outputs.logits.grad is not None
    assert outputs.moves.grad.abs().sum(dim=2)[0].nonzero().flatten().tolist() == [1, 3]
    learns = outputs.logits.grad.abs().sum(dim=2)[0].nonzero().flatten().tolist()
    assert learns == [0, 1, 3, 4, 5]
    # Descent raises the first logit of boxes with a digit, and the second logit of boxes without.
    assert (outputs.logits.grad[0, [0, 1, 3], 0] < 0).all()
    assert (outputs.logits.grad[0, [4, 5], 1] < 0).all()


def test_the_loss_of_correct_outputs_is_zero() -> None:
    samples = sample(iou(BOXES, DIGITS), BOXES, CANVAS, _generator())
    moves = torch.zeros(1, 7, 4)
    moves[0, 1, 1] = -0.2
    moves[0, 3] = torch.tensor([3 / 8, 3 / 8, 0, 0])
    logits = torch.tensor([[20.0, -20.0]] * 4 + [[-20.0, 20.0]] * 3)[None]
    moves_loss, scores_loss = losses(_outputs(moves, logits), BOXES[0], DIGITS, samples)
    assert moves_loss.item() == pytest.approx(0, abs=1e-6)
    assert scores_loss.item() == pytest.approx(0, abs=1e-6)
