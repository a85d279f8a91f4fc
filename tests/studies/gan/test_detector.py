"""The detector on real and on spoiled images. All measures of mode collapse depend on it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from studies.gan.data import SortOfClevr
from studies.gan.detector import detect


@pytest.mark.parametrize(("canvas", "radius"), [(32, 5), (64, 10)])
def test_the_objects_of_real_images_are_found(canvas: int, radius: int) -> None:
    data = SortOfClevr(canvas, radius)
    scenes = data.scenes(2_000, seed=7)
    found = detect(data.images(scenes), radius)
    error = (found.centers - scenes[..., :2]).abs().amax(dim=(1, 2))
    assert found.valid.float().mean() >= 0.995
    # A corner covered by another square moves the center of mass a little.
    assert (error <= 0.5).float().mean() >= 0.98
    assert (error <= 1).float().mean() >= 0.995


def test_blurred_and_noisy_objects_are_found() -> None:
    data = SortOfClevr(64, 10)
    scenes = data.scenes(500, seed=3)
    images = F.avg_pool2d(data.images(scenes), 3, 1, 1, count_include_pad=False)
    images += 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    found = detect(images, 10)
    error = (found.centers - scenes[..., :2]).abs().amax(dim=(1, 2))
    assert (found.valid & (error <= 1)).float().mean() >= 0.99


def _scene(canvas: int = 32) -> Tensor:
    data = SortOfClevr(canvas, 5)
    return data.images(torch.tensor([[[8, 8, 1], [22, 22, 0]]]))


BLUE = torch.tensor([-1.0, -1.0, 1.0])[:, None, None]
WHITE = torch.ones(3, 1, 1)


def _without_blue(image: Tensor) -> None:
    image[0, :, 3:14, 3:14] = WHITE


def _two_blues(image: Tensor) -> None:
    image[0, :, 3:14, 20:29] = BLUE


def _a_ring(image: Tensor) -> None:
    _without_blue(image)
    image[0, :, 1:16, 1:16] = BLUE
    image[0, :, 4:13, 4:13] = WHITE


def _a_smear(image: Tensor) -> None:
    _without_blue(image)
    image[0, :, 6:9, 0:31] = BLUE


def _a_dot(image: Tensor) -> None:
    _without_blue(image)
    image[0, :, 7:9, 7:9] = BLUE


def _a_flood(image: Tensor) -> None:
    image[0, :, :16] = BLUE


@pytest.mark.parametrize("spoil", [_without_blue, _two_blues, _a_ring, _a_smear, _a_dot, _a_flood])
def test_images_without_exactly_one_object_per_color_are_invalid(spoil: object) -> None:
    image = _scene()
    assert detect(image, 5).valid.tolist() == [True]
    spoil(image)
    assert detect(image, 5).valid.tolist() == [False]


def test_the_centers_equal_hand_computed_values() -> None:
    found = detect(_scene(), 5)
    assert found.centers.tolist() == [[[8, 8], [22, 22]]]


def test_a_blank_image_has_no_centers_and_is_invalid() -> None:
    found = detect(torch.ones(2, 3, 32, 32), 5)
    assert found.centers.isnan().all()
    assert not found.valid.any()
