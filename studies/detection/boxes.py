"""Boxes: what they share, how they are moved, which of them are kept.

A box is (row, column, height, width), its centre and its size, in the last dimension of a tensor.
A move is how a network changes one: (row, column) in sizes of the box, (height, width) as
logarithms of factors (Girshick et al. 2014, arXiv:1311.2524, appendix C).
"""

from __future__ import annotations

import torch
from torch import Tensor


def corners(boxes: Tensor) -> Tensor:
    """(..., 4): first row, first column, last row, last column."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of each of (..., A, 4) with each of (..., B, 4): (..., A, B)."""
    a, b = corners(first)[..., :, None, :], corners(second)[..., None, :, :]
    overlap = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    shared = overlap.clamp(min=0).prod(dim=-1)
    areas = first[..., 2:].prod(dim=-1)[..., :, None] + second[..., 2:].prod(dim=-1)[..., None, :]
    return shared / (areas - shared)


def moved(boxes: Tensor, moves: Tensor) -> Tensor:
    """Boxes after moves, (..., 4)."""
    centre = boxes[..., :2] + moves[..., :2] * boxes[..., 2:]
    return torch.cat([centre, boxes[..., 2:] * moves[..., 2:].exp()], dim=-1)


def moves_between(before: Tensor, after: Tensor) -> Tensor:
    """The moves that make boxes of others, (..., 4)."""
    shift = (after[..., :2] - before[..., :2]) / before[..., 2:]
    return torch.cat([shift, (after[..., 2:] / before[..., 2:]).log()], dim=-1)


def inside(boxes: Tensor, canvas: int) -> Tensor:
    """(...,) bool: whether no part of a box lies beyond a canvas of this side."""
    edges = corners(boxes)
    return (edges[..., :2] >= 0).all(dim=-1) & (edges[..., 2:] <= canvas).all(dim=-1)


def non_maximum_suppression(
    boxes: Tensor, scores: Tensor, iou_threshold: float, n: int
) -> tuple[Tensor, Tensor]:
    """The best boxes of each image that are not nearly the same as a better one.

    Args:
        boxes: (N, A, 4).
        scores: (N, A), finite, the more the better.
        iou_threshold: a box goes if it shares more than this with one that was kept.
        n: how many to keep, at most A.

    Returns:
        (N, n) int64, which boxes, best first; (N, n) bool, whether there was one left.
    """
    left = scores.clone()
    chosen, found = [], []
    for _ in range(n):
        score, best = left.max(dim=1)
        box = boxes.gather(1, best[:, None, None].expand(-1, 1, 4))
        same = iou(boxes, box)[..., 0] > iou_threshold
        left = left.masked_fill(same, -torch.inf)
        left.scatter_(1, best[:, None], -torch.inf)  # a box without an area shares nothing
        chosen.append(best)
        found.append(score > -torch.inf)
    return torch.stack(chosen, dim=1), torch.stack(found, dim=1)
