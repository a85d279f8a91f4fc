"""A trained CoordConv layer for inference: an ordinary convolution plus a constant map."""

from __future__ import annotations

from torch import Tensor, nn


class FoldedCoordConv(nn.Module):
    """A CoordConv layer whose where-map has been computed once; made by `layer.fold(size)`.

    It answers what the layer answered, to inputs of one spatial size, without computing anything
    from coordinates.

    Args:
        conv: the ordinary layer with the data kernel and the bias.
        added: (C, *output spatial size), what the coordinates add to its output.
        input_size: the spatial size the map is for.
        layer_name: class of the folded layer, for messages.
    """

    added: Tensor

    def __init__(
        self, conv: nn.Module, added: Tensor, input_size: tuple[int, ...], layer_name: str
    ) -> None:
        super().__init__()
        self.conv = conv
        self.input_size = input_size
        self.layer_name = layer_name
        self.register_buffer("added", added)

    def forward(self, x: Tensor) -> Tensor:
        """As the folded layer's.

        Raises:
            ValueError: the spatial size of `x` is not the one the layer was folded for.
        """
        size = tuple(x.shape[-len(self.input_size) :])
        if size != self.input_size:
            raise ValueError(
                f"this {self.layer_name} was folded for inputs of {self.input_size}, got {size}: "
                f"fold the trained layer for that size too, layer.fold({size})"
            )
        response: Tensor = self.conv(x)
        # In the response's type, as the layer adds it: under autocast that is a lower precision.
        return response.add_(self.added.to(response.dtype))

    def extra_repr(self) -> str:
        """The input size, which no parameter's shape shows."""
        return f"{self.layer_name}, input_size={self.input_size}"
