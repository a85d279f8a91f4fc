"""Measure how well proposed boxes fit the digits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from studies.detection.boxes import iou, moved, non_maximum_suppression
from studies.detection.matching import DIGIT
from studies.detection.network import Proposals

NMS_IOU, N_PROPOSALS = 0.8, 10


@dataclass(frozen=True)
class Proposed:
    """Boxes that the network proposes, best first.

    Attributes:
        boxes: (N, 10, 4).
        scores: (N, 10), the probability of a digit.
        there: (N, 10) bool; False for missing boxes of an image that has fewer.
    """

    boxes: Tensor
    scores: Tensor
    there: Tensor


def proposed(outputs: Proposals, anchors: Tensor) -> Proposed:
    """The ten best boxes of each image after non-maximum suppression with an IoU of 0.8.

    Args:
        outputs: the network's outputs.
        anchors: (A, 4).
    """
    boxes = moved(anchors, outputs.moves)
    probability = outputs.logits.softmax(dim=2)[..., DIGIT]
    chosen, there = non_maximum_suppression(boxes, probability, NMS_IOU, N_PROPOSALS)
    return Proposed(
        boxes.gather(1, chosen[..., None].expand(-1, -1, 4)), probability.gather(1, chosen), there
    )


@dataclass(frozen=True)
class Fit:
    """How well the proposals fit on each image: (N,) float32, on the CPU.

    Attributes:
        average: mean IoU over all pairs of a proposal and a digit (the released code's
            `mean_nms_iou`). Even the digits' own boxes get little more than one over the number of
            digits.
        best: mean over proposals of the IoU with the best-fitting digit (`mean_argmax_nms_iou`).
        found: mean over digits of the IoU with the best-fitting proposal.
    """

    average: Tensor
    best: Tensor
    found: Tensor


def fit(boxes: Tensor, there: Tensor, digits: Tensor) -> Fit:
    """Measure how well proposals fit the digits.

    Args:
        boxes: (N, P, 4) proposals.
        there: (N, P) bool, which proposals count; at least one per image.
        digits: (N, B, 4).
    """
    shared = iou(boxes, digits).masked_fill(~there[..., None], 0.0)
    count = there.sum(dim=1)
    return Fit(
        (shared.mean(dim=2).sum(dim=1) / count).cpu(),
        (shared.amax(dim=2).sum(dim=1) / count).cpu(),
        shared.amax(dim=1).mean(dim=1).cpu(),
    )


def fit_of_the_truth(digits: Tensor) -> Fit:
    """The fit of the digits' own boxes.

    No proposals have a higher `best` or `found`. The `average`, which compares every box with every
    digit, may be higher for boxes between digits.

    Args:
        digits: (N, B, 4).
    """
    return fit(digits, torch.ones(digits.shape[:2], dtype=torch.bool), digits)
