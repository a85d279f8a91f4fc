"""Boxes: intersection over union, moves, and non-maximum suppression.

A box is (row, column, height, width), its center and its size, in the last dimension of a tensor.
A move changes a box: (row, column) in units of the box's size, (height, width) as logarithms of
factors (Girshick et al. 2014, arXiv:1311.2524, appendix C).
"""

from __future__ import annotations

import torch
from torch import Tensor


def corners(boxes: Tensor) -> Tensor:
    """(..., 4): first row, first column, last row, last column."""
    center, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([center - half, center + half], dim=-1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each of (..., A, 4) with each of (..., B, 4): (..., A, B)."""
    a, b = corners(first)[..., :, None, :], corners(second)[..., None, :, :]
    overlap = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    shared = overlap.clamp(min=0).prod(dim=-1)
    areas = first[..., 2:].prod(dim=-1)[..., :, None] + second[..., 2:].prod(dim=-1)[..., None, :]
    return shared / (areas - shared)


def moved(boxes: Tensor, moves: Tensor) -> Tensor:
    """Apply moves to boxes, (..., 4)."""
    center = boxes[..., :2] + moves[..., :2] * boxes[..., 2:]
    return torch.cat([center, boxes[..., 2:] * moves[..., 2:].exp()], dim=-1)


def moves_between(before: Tensor, after: Tensor) -> Tensor:
    """The moves that turn boxes `before` into boxes `after`, (..., 4)."""
    shift = (after[..., :2] - before[..., :2]) / before[..., 2:]
    return torch.cat([shift, (after[..., 2:] / before[..., 2:]).log()], dim=-1)


def inside(boxes: Tensor, canvas: int) -> Tensor:
    """(...,) bool: whether a box is entirely inside a canvas of this side."""
    edges = corners(boxes)
    return (edges[..., :2] >= 0).all(dim=-1) & (edges[..., 2:] <= canvas).all(dim=-1)


def non_maximum_suppression(
    boxes: Tensor, scores: Tensor, iou_threshold: float, n: int
) -> tuple[Tensor, Tensor]:
    """Keep the best boxes of each image that do not overlap a better box too much.

    Args:
        boxes: (N, A, 4).
        scores: (N, A), finite; higher is better.
        iou_threshold: a box is dropped if its IoU with a kept box is above this.
        n: number of boxes to keep, at most A.

    Returns:
        (N, n) int64, indices of the boxes, best first; (N, n) bool, whether there was a box left.
    """
    left = scores.clone()
    chosen, found = [], []
    for _ in range(n):
        score, best = left.max(dim=1)
        box = boxes.gather(1, best[:, None, None].expand(-1, 1, 4))
        same = iou(boxes, box)[..., 0] > iou_threshold
        left = left.masked_fill(same, -torch.inf)
        left.scatter_(1, best[:, None], -torch.inf)  # a box without area has IoU 0 with itself
        chosen.append(best)
        found.append(score > -torch.inf)
    return torch.stack(chosen, dim=1), torch.stack(found, dim=1)
