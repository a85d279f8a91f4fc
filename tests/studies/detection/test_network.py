from __future__ import annotations

from typing import Any

import pytest
import torch

from coordconv import CoordConv2d
from coordconv.parameters import parameter_count
from studies.detection.network import ANCHORS, RegionProposalNetwork, anchors


def test_anchors_equal_the_papers() -> None:
    found = anchors(64)
    assert found.shape == (13 * 13 * 9, 4)
    assert {tuple(shape) for shape in found[:, 2:].tolist()} == {
        (h, w) for h in (15, 20, 25) for w in (15, 20, 25)
    }
    # Receptive fields of 16 pixels with a stride of 4 have centers at 8, 12, ... 56.
    assert sorted(set(found[:, 0].tolist())) == [8 + 4 * k for k in range(13)]
    # The order is row by row, and at each position that of ANCHORS.
    assert found[9].tolist() == [8, 12, *ANCHORS[0]]
    assert found[13 * 9 + 1].tolist() == [12, 8, *ANCHORS[1]]


@pytest.mark.parametrize("place", [(0, 0), (3, 7), (12, 12)])
def test_an_anchor_is_in_the_middle_of_its_receptive_field(place: tuple[int, int]) -> None:
    """The gradient shows which pixels affect the features before the 3x3 convolution."""
    network = RegionProposalNetwork("conv")
    image = torch.rand(1, 1, 64, 64, requires_grad=True)
    seen: Any = network.features[:6]
    seen(image)[0, :, place[0], place[1]].sum().backward()
    assert image.grad is not None
    rows, columns = (image.grad[0, 0] != 0).nonzero(as_tuple=True)
    middle = anchors(64).view(13, 13, 9, 4)[place[0], place[1], 0, :2]
    # Inactive units before a pooling may hide a few of the 16 pixels.
    for pixels, center in ((rows, middle[0]), (columns, middle[1])):
        assert center - 8 <= pixels.min()
        assert pixels.max() <= center + 7
        assert pixels.max() - pixels.min() >= 9


def test_parameter_counts_and_the_positions_of_coordconv_layers() -> None:
    def conv(n_in: int, n_out: int, kernel: int) -> int:
        return n_in * n_out * kernel**2 + n_out

    def size(extra: int) -> int:
        return (
            conv(1 + extra, 32, 5)
            + conv(32, 64, 5)
            + conv(64 + extra, 32, 3)
            + conv(32, 32, 3)
            + conv(32 + extra, 36, 1)
            + conv(32, 18, 1)
        )

    plain, coordinates = RegionProposalNetwork("conv"), RegionProposalNetwork("coordconv")
    assert parameter_count(plain) == size(0) == 81_590
    assert parameter_count(coordinates) == size(2) == 83_838
    kinds = {name for name, m in coordinates.named_modules() if isinstance(m, CoordConv2d)}
    assert kinds == {"features.0", "features.6", "mover.2"}
    assert not any(isinstance(m, CoordConv2d) for m in plain.modules())


@pytest.mark.parametrize("model", ["conv", "coordconv"])
def test_an_untrained_network_moves_no_box(model: str) -> None:
    outputs = RegionProposalNetwork(model)(torch.rand(2, 1, 64, 64))  # type: ignore[arg-type]
    assert outputs.moves.shape == (2, 1521, 4)
    assert outputs.logits.shape == (2, 1521, 2)
    assert (outputs.moves == 0).all()
    assert outputs.logits.std() > 0


def test_outputs_are_in_the_order_of_the_anchors() -> None:
    """A scorer that is nonzero at one position and shape scores only that anchor."""
    network = RegionProposalNetwork("conv")
    with torch.no_grad():
        maps = torch.zeros(1, 18, 13, 13)
        maps[0, 2 * 4 + 1, 3, 5] = 1.0  # the second class of the fifth shape
        network.scorer.forward = lambda features: maps  # type: ignore[assignment, method-assign]
        outputs = network(torch.rand(1, 1, 64, 64))
    ((_, anchor, kind),) = outputs.logits.nonzero().tolist()
    assert kind == 1
    assert network.anchors[anchor].tolist() == [8 + 4 * 3, 8 + 4 * 5, *ANCHORS[4]]


@pytest.mark.parametrize("canvas", [32, 33, 48, 100])
def test_the_number_of_outputs_equals_the_number_of_anchors_on_any_canvas(canvas: int) -> None:
    network = RegionProposalNetwork("coordconv", canvas, width=4)
    outputs = network(torch.rand(1, 1, canvas, canvas))
    assert len(network.anchors) == outputs.moves.shape[1] == outputs.logits.shape[1]
