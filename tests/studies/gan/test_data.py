from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import UserError
from studies.gan.data import SortOfClevr


@given(st.sampled_from([(16, 1), (16, 2), (32, 5), (64, 10), (96, 16)]), st.integers(0, 2**40))
def test_scenes_are_reproducible_and_fit_any_canvas(size: tuple[int, int], seed: int) -> None:
    data = SortOfClevr(*size)
    scenes = data.scenes(200, seed)
    assert torch.equal(scenes, data.scenes(200, seed))
    centers = scenes[..., :2]
    assert centers.min() >= data.radius
    assert centers.max() <= data.canvas - 1 - data.radius
    apart = (centers[:, 0] - centers[:, 1]).square().sum(dim=1)
    assert (apart >= (2 * data.radius) ** 2).all()
    assert set(scenes[..., 2].unique().tolist()) <= {0, 1}


def test_the_range_of_centers_equals_the_papers() -> None:
    # randint(10, 54) of the released generator: rows and columns from 10 to 53.
    data = SortOfClevr()
    assert data.places == 44
    centers = data.scenes(20_000, seed=1)[..., :2]
    assert (centers.amin().item(), centers.amax().item()) == (10, 53)


def test_an_image_equals_a_hand_computed_one() -> None:
    data = SortOfClevr(canvas=16, radius=2)
    # A blue square around (3, 4) and a red disc around (10, 9).
    (image,) = data.images(torch.tensor([[[3, 4, 0], [10, 9, 1]]]))
    blue, red = torch.tensor([-1.0, -1, 1]), torch.tensor([1.0, -1, -1])
    is_blue = (image == blue[:, None, None]).all(dim=0)
    is_red = (image == red[:, None, None]).all(dim=0)
    square = torch.zeros(16, 16, dtype=torch.bool)
    square[1:6, 2:7] = True
    assert torch.equal(is_blue, square)
    assert is_red.sum() == 13  # the lattice points within 2 of the origin
    assert is_red[8, 9]
    assert is_red[11, 10]
    assert not is_red[8, 8]
    white = ~(is_blue | is_red)
    assert (image[:, white] == 1).all()


def test_red_is_painted_over_blue() -> None:
    data = SortOfClevr(canvas=16, radius=2)
    # The corners of these squares overlap: centers 4 apart along both axes are allowed.
    (image,) = data.images(torch.tensor([[[4, 4, 0], [8, 8, 0]]]))
    assert image[:, 6, 6].tolist() == [1, -1, -1]


@pytest.mark.parametrize(
    ("canvas", "radius", "message"),
    [
        (60, 5, "multiple of 16"),
        (0, 1, "multiple of 16"),
        (272, 5, "multiple of 16"),
        (32, 0, "--radius must be between 1 and 5"),
        (32, 6, "--radius must be between 1 and 5"),
    ],
)
def test_impossible_canvases_and_radii_are_refused(canvas: int, radius: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SortOfClevr(canvas, radius)
