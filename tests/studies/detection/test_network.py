from __future__ import annotations

import pytest
import torch
from torch import nn

from coordconv import CoordConv2d
from coordconv.parameters import parameter_count
from studies.detection.network import ANCHORS, RegionProposalNetwork, anchors


def test_the_papers_anchors() -> None:
    found = anchors(64)
    assert found.shape == (13 * 13 * 9, 4)
    assert {tuple(shape) for shape in found[:, 2:].tolist()} == {
        (h, w) for h in (15, 20, 25) for w in (15, 20, 25)
    }
    # A place sees 16 pixels and the next one begins 4 further: centres at 8, 12, ... 56.
    assert sorted(set(found[:, 0].tolist())) == [8 + 4 * k for k in range(13)]
    # Row by row, and within a place in the order of ANCHORS.
    assert found[9].tolist() == [8, 12, *ANCHORS[0]]
    assert found[13 * 9 + 1].tolist() == [12, 8, *ANCHORS[1]]


@pytest.mark.parametrize("place", [(0, 0), (3, 7), (12, 12)])
def test_an_anchor_stands_in_the_middle_of_what_its_place_sees(place: tuple[int, int]) -> None:
    """The pixels that a place's features depend on, by gradient, before the 3x3 convolution."""
    network = RegionProposalNetwork("conv")
    image = torch.rand(1, 1, 64, 64, requires_grad=True)
    seen: nn.Sequential = network.features[:6]
    seen(image)[0, :, place[0], place[1]].sum().backward()
    assert image.grad is not None
    rows, columns = (image.grad[0, 0] != 0).nonzero(as_tuple=True)
    middle = anchors(64).view(13, 13, 9, 4)[place[0], place[1], 0, :2]
    # What is dead to a pooling may hide a pixel or two of the 16.
    for pixels, centre in ((rows, middle[0]), (columns, middle[1])):
        assert centre - 8 <= pixels.min()
        assert pixels.max() <= centre + 7
        assert pixels.max() - pixels.min() >= 9


def test_sizes_and_where_coordinates_come_in() -> None:
    def conv(n_in: int, n_out: int, kernel: int) -> int:
        return n_in * n_out * kernel**2 + n_out

    def size(extra: int) -> int:
        return (
            conv(1 + extra, 32, 5) + conv(32, 64, 5) + conv(64 + extra, 32, 3)
            + conv(32, 32, 3) + conv(32 + extra, 36, 1) + conv(32, 18, 1)
        )  # fmt: skip

    plain, coordinates = RegionProposalNetwork("conv"), RegionProposalNetwork("coordconv")
    assert parameter_count(plain) == size(0) == 81_590
    assert parameter_count(coordinates) == size(2) == 83_838
    kinds = {name for name, m in coordinates.named_modules() if isinstance(m, CoordConv2d)}
    assert kinds == {"features.0", "features.6", "mover.2"}
    assert not any(isinstance(m, CoordConv2d) for m in plain.modules())


@pytest.mark.parametrize("model", ["conv", "coordconv"])
def test_nothing_is_moved_before_anything_is_learned(model: str) -> None:
    said = RegionProposalNetwork(model)(torch.rand(2, 1, 64, 64))  # type: ignore[arg-type]
    assert said.moves.shape == (2, 1521, 4)
    assert said.logits.shape == (2, 1521, 2)
    assert (said.moves == 0).all()
    assert said.logits.std() > 0


def test_outputs_stand_beside_their_anchors() -> None:
    """A scorer that only answers at one place and shape answers for that anchor."""
    network = RegionProposalNetwork("conv")
    with torch.no_grad():
        maps = torch.zeros(1, 18, 13, 13)
        maps[0, 2 * 4 + 1, 3, 5] = 1.0  # the second class of the fifth shape
        network.scorer.forward = lambda features: maps  # type: ignore[method-assign]
        said = network(torch.rand(1, 1, 64, 64))
    ((_, anchor, kind),) = said.logits.nonzero().tolist()
    assert kind == 1
    assert network.anchors[anchor].tolist() == [8 + 4 * 3, 8 + 4 * 5, *ANCHORS[4]]


@pytest.mark.parametrize("canvas", [32, 33, 48, 100])
def test_other_canvases(canvas: int) -> None:
    network = RegionProposalNetwork("coordconv", canvas, width=4)
    said = network(torch.rand(1, 1, canvas, canvas))
    assert len(network.anchors) == said.moves.shape[1] == said.logits.shape[1]
