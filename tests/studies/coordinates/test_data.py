from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import UserError
from studies.coordinates.data import NotSoClevr


def test_position_counts_equal_the_papers() -> None:
    data = NotSoClevr()
    assert data.positions().shape == (3136, 2)
    assert [bound.item() for bound in data.positions().aminmax()] == [4, 59]
    # 2,407 and 729: the released code's quadrant split.
    assert [len(part) for part in data.split("quadrant", seed=1)] == [2407, 729]
    assert [len(part) for part in data.split("uniform", seed=1)] == [2509, 627]


def test_the_quadrant_is_beyond_the_middle_in_both_directions() -> None:
    train, test = NotSoClevr().split("quadrant", seed=1)
    assert test.min() == 33
    assert (train <= 32).any(dim=1).all()


def test_the_uniform_split_depends_only_on_the_seed() -> None:
    data = NotSoClevr()
    first, again, other = (data.split("uniform", seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@given(st.integers(16, 40), st.integers(1, 40), st.sampled_from(["uniform", "quadrant"]))
def test_splits_and_images_are_consistent_for_any_canvas_and_square(
    canvas: int, square: int, split: str
) -> None:
    try:
        data = NotSoClevr(canvas, square)
        train, test = data.split(split, seed=3)  # type: ignore[arg-type]
    except UserError:
        # The quadrant split needs a center beyond the middle, and one elsewhere.
        assert square >= canvas - 3
        return
    everywhere = data.positions()
    assert len(everywhere) == (canvas - square + 1) ** 2
    assert sorted(map(tuple, torch.cat([train, test]).tolist())) == [
        tuple(position) for position in everywhere.tolist()
    ]
    assert (data.squares(everywhere).sum(dim=(1, 2, 3)) == square**2).all()
    assert torch.equal(data.one_hot(everywhere).flatten(1).argmax(dim=1), data.pixels(everywhere))


def test_a_square_and_its_coordinates_equal_hand_computed_values() -> None:
    data = NotSoClevr(canvas=16, square=3)
    drawn = data.squares(torch.tensor([[2, 5]]))[0, 0]
    expected = torch.zeros(16, 16)
    expected[1:4, 4:7] = 1
    assert torch.equal(drawn, expected)
    # Column first, from -1 to 1: the paper's (x, y).
    assert torch.allclose(
        data.coordinates(torch.tensor([[0, 15], [15, 0]])), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    )


@pytest.mark.parametrize(("canvas", "square"), [(15, 3), (513, 9), (64, 0), (64, 64), (16, 16)])
def test_impossible_canvases_and_squares_are_refused(canvas: int, square: int) -> None:
    with pytest.raises(UserError, match="must be"):
        NotSoClevr(canvas, square)
