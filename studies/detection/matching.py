"""Choose the boxes that the network learns from, and compute its losses."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from studies.detection.boxes import inside, moves_between
from studies.detection.network import Proposals

POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.1
N_POSITIVE = N_NEGATIVE = 6
DIGIT, NONE = 0, 1  # the scorer's classes


@dataclass(frozen=True)
class Samples:
    """Boxes drawn for the loss: up to six of each kind per image.

    If an image has fewer, its remaining entries are False in `..._there`.

    Attributes:
        positive: (N, 6) int64: boxes that hold a digit.
        digit: (N, 6) int64: which digit each of them holds.
        positive_there: (N, 6) bool.
        negative: (N, 6) int64: boxes that hold none.
        negative_there: (N, 6) bool.
    """

    positive: Tensor
    digit: Tensor
    positive_there: Tensor
    negative: Tensor
    negative_there: Tensor


def sample(ious: Tensor, boxes: Tensor, canvas: int, generator: torch.Generator) -> Samples:
    """Draw up to six boxes that hold a digit, and up to six that hold none, from each image.

    A pair of a box and a digit is positive if their IoU is above 0.5 and the box is inside the
    canvas, or if no box has a higher IoU with the digit. A box is negative if its IoU with every
    digit is below 0.1, it is not the closest box of any digit, and it is inside the canvas. If no
    box is negative, every box without a positive pair is.

    Args:
        ious: (N, A, B), IoU of each box with each digit.
        boxes: (N, A, 4), as moved by the network.
        canvas: side in pixels.
        generator: random generator, on the CPU.
    """
    n_boxes, n_digits = ious.shape[1:]
    on_canvas = inside(boxes, canvas)[..., None]
    closest = F.one_hot(ious.argmax(dim=1), n_boxes).bool().transpose(1, 2)
    positive = closest | ((ious > POSITIVE_IOU) & on_canvas)
    negative = ((ious < NEGATIVE_IOU) & on_canvas & ~closest).all(dim=2)
    no_positive = ~positive.any(dim=2)
    negative = torch.where(negative.any(dim=1, keepdim=True), negative, no_positive)
    pairs, positive_there = _draw(positive.flatten(1), N_POSITIVE, generator)
    chosen, negative_there = _draw(negative, N_NEGATIVE, generator)
    return Samples(
        pairs.div(n_digits, rounding_mode="floor"),
        pairs % n_digits,
        positive_there,
        chosen,
        negative_there,
    )


def _draw(candidates: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw up to n of each row's candidates (N, M) bool: indices and whether they exist, (N, n)."""
    lots = torch.rand(candidates.shape, generator=generator).to(candidates.device)
    best, chosen = lots.masked_fill(~candidates, -1.0).topk(min(n, candidates.shape[1]), dim=1)
    return chosen, best >= 0


def smooth_l1(error: Tensor) -> Tensor:
    """x² up to 1 and |x| beyond, summed over the last dimension, as in the released code.

    The usual smooth L1 halves the square, so that it has no corner at 1.
    """
    size = error.abs()
    return torch.where(size > 1, size, size.square()).sum(dim=-1)


def losses(
    outputs: Proposals, anchors: Tensor, digits: Tensor, samples: Samples
) -> tuple[Tensor, Tensor]:
    """The losses of the moves and of the scores, averaged over an image's samples and over images.

    Args:
        outputs: the network's outputs.
        anchors: (A, 4).
        digits: (N, B, 4), the digits' boxes.
        samples: the drawn boxes.
    """
    there = samples.positive_there.float()
    moves = _gather(outputs.moves, samples.positive)
    wanted = moves_between(anchors[samples.positive], _gather(digits, samples.digit))
    moves_loss = (smooth_l1(moves - wanted) * there).sum(dim=1) / there.sum(dim=1)

    which = torch.cat([samples.positive, samples.negative], dim=1)
    there = torch.cat([samples.positive_there, samples.negative_there], dim=1).float()
    truth = torch.full_like(which, NONE)
    truth[:, : samples.positive.shape[1]] = DIGIT
    logits = _gather(outputs.logits, which)
    each_loss = F.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none")
    scores_loss = (each_loss.view_as(there) * there).sum(dim=1) / there.sum(dim=1)
    return moves_loss.mean(), scores_loss.mean()


def _gather(values: Tensor, which: Tensor) -> Tensor:
    """Index (N, A, C) by (N, n), giving (N, n, C)."""
    return values.gather(1, which[..., None].expand(-1, -1, values.shape[2]))
