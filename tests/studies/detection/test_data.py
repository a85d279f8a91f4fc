from __future__ import annotations

import numpy as np
import pytest
import torch

from cli.errors import UserError
from studies.detection.boxes import inside
from studies.detection.data import ScatteredDigits

BLOCK = torch.zeros(1, 8, 8)
BLOCK[0, 2:6, 1:7] = 1.0  # a digit whose ink is a block


def test_digits_of_a_canvas_sized_field_are_whole() -> None:
    boxes = ScatteredDigits().boxes(2_000, np.random.default_rng(1))
    assert inside(boxes, 64).all()
    sizes = boxes[..., 2:]
    assert sizes.min() >= 15
    assert sizes.max() <= 25
    assert sizes.mean().item() == pytest.approx(20, abs=0.1)
    assert boxes[..., :2].mean(dim=(0, 1)).tolist() == pytest.approx([32, 32], abs=0.5)


def test_some_digits_of_a_larger_field_are_cut_or_hidden() -> None:
    boxes = ScatteredDigits(64, 120).boxes(2_000, np.random.default_rng(1))
    edges = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], 2)
    assert edges.min() >= -28
    assert edges.max() <= 92
    beyond = ((edges[..., :2] >= 64) | (edges[..., 2:] <= 0)).any(dim=2)
    assert 0.2 < beyond.float().mean() < 0.5
    assert 0.1 < inside(boxes, 64).float().mean() < 0.4


def test_ink_fills_its_box() -> None:
    data = ScatteredDigits(digits=1)
    images, boxes = data.images(BLOCK, 50, seed=3)
    for image, box in zip(images[:, 0], boxes[:, 0], strict=True):
        rows, columns = (image > 127).nonzero(as_tuple=True)
        edges = torch.stack([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
        wanted = torch.cat([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2])
        # No ink is outside. A row may be missing, because pixels are sampled at their centers.
        assert (edges[:2] >= wanted[:2] - 0.51).all()
        assert (edges[2:] <= wanted[2:] + 0.51).all()
        assert (edges - wanted).abs().max() <= 1.6


def test_a_digit_is_upright_and_not_mirrored() -> None:
    wedge = torch.zeros(1, 8, 8)
    for row in range(8):
        wedge[0, row, : row + 1] = 1.0  # more ink below and to the left
    image, box = ScatteredDigits(digits=1).images(wedge, 1, seed=1)
    row, column = (round(k) for k in box[0, 0, :2].tolist())
    ink = image[0, 0].float()
    assert ink[row:, :].sum() > 2 * ink[:row, :].sum()
    assert ink[:, :column].sum() > 2 * ink[:, column:].sum()


def test_overlapping_ink_is_clamped_to_full_ink() -> None:
    images, _ = ScatteredDigits(canvas=32, field=32, digits=6).images(BLOCK, 4, seed=1)
    assert images.max() == 255
    alone, _ = ScatteredDigits(canvas=32, field=32, digits=1).images(BLOCK, 4, seed=1)
    assert (images > 0).float().mean() > (alone > 0).float().mean()


def test_images_depend_only_on_the_seed() -> None:
    data = ScatteredDigits()
    first, again, other = (data.images(BLOCK, 3, seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((31, 31, 5), "--canvas"),
        ((257, 257, 5), "--canvas"),
        ((64, 63, 5), "--field"),
        ((64, 257, 5), "--field"),
        ((64, 64, 0), "--digits"),
        ((64, 64, 21), "--digits"),
    ],
)
def test_impossible_canvases_fields_and_digits_are_refused(
    values: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        ScatteredDigits(*values)
