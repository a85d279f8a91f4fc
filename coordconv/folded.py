"""A trained CoordConv layer for inference: an ordinary convolution plus a constant map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from coordconv.hooks import has_hooks
from coordconv.tracing import as_one_step, is_jit_tracing, is_proxy

# Traced by torch.fx as one step.
fx.wrap("of_size")

# What models read off a convolution.
GEOMETRY = frozenset(
    {
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
        "padding_mode", "output_padding", "transposed",
    }
)  # fmt: skip


def of_size(x: Tensor, input_size: tuple[int, ...], layer_name: str) -> Tensor:
    """`x`, which has the spatial size that a layer was folded for, or an error.

    Raises:
        TypeError: it is no dense tensor of numbers.
        ValueError: it has another size.
    """
    n_dims = len(input_size)
    if is_jit_tracing():
        # A trace has no branches; of another size, this fails in it.
        return x.view(*x.shape[:-n_dims], *input_size)
    if x.is_quantized:
        raise TypeError(
            f"a folded {layer_name} adds a map of floating-point numbers, got an input of "
            f"{x.dtype}: leave it out of quantization (folded.qconfig = None)"
        )
    if x.is_mkldnn:
        raise TypeError(
            f"a folded {layer_name} adds a dense map, got an input in oneDNN's own layout: call "
            ".to_dense() on what comes before it"
        )
    size = tuple(x.shape[-n_dims:])
    if size != input_size:
        raise ValueError(
            f"this {layer_name} was folded for inputs of {input_size}, got {size}: fold the "
            f"trained layer for that size too, layer.fold({size})"
        )
    return x


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

    if TYPE_CHECKING:  # torch.jit.script would read the annotation, and does not know it
        added: Tensor

    def __init__(
        self, conv: nn.Module, added: Tensor, input_size: tuple[int, ...], layer_name: str
    ) -> None:
        super().__init__()
        self.conv = conv
        self.input_size = input_size
        self._input_size = list(input_size)  # of the type that torch.jit.script compares
        self.layer_name = layer_name
        self.register_buffer("added", added)

    def forward(self, x: Tensor) -> Tensor:
        """As the folded layer's.

        Raises:
            ValueError: the spatial size of `x` is not the one the layer was folded for.
        """
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return self._scripted(x)
        else:
            return self._output(x)

    def _scripted(self, x: Tensor) -> Tensor:
        size = x.shape[x.dim() - len(self.input_size) :]
        if size != self._input_size:  # type: ignore[comparison-overlap]
            raise ValueError(f"this layer was folded for inputs of {self.input_size}, got {size}")
        response: Tensor = self.conv(x)
        return response + self.added.to(response.dtype)

    def _output(self, x: Tensor) -> Tensor:
        if is_proxy(x):
            step: Tensor | None = as_one_step(self, x)
            if step is not None:
                return step
        response: Tensor = self.conv(of_size(x, self.input_size, self.layer_name))
        # In the response's type, as the layer adds it: under autocast that is a lower precision.
        added = self.added.to(response.dtype)
        # A hook may have kept the response, which otherwise nobody else holds.
        return response + added if has_hooks(self.conv) else response.add_(added)

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias"):
            raise AttributeError(
                f"a folded {self.layer_name} is a convolution and a map: its {name} is "
                f"`conv.{name}`, and `added` belongs to it; a tool that changes one of them is for "
                "the layer before it is folded"
            )
        if name in GEOMETRY:
            return getattr(super().__getattr__("conv"), name)
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        """The input size, which no parameter's shape shows."""
        return f"{self.layer_name}, input_size={self.input_size}"


def carry_over(old: nn.Module, new: nn.Module) -> None:
    """Give a layer what somebody wrote on the one it replaces: some models' graphs stand there."""
    kind: Any = type(old)
    if nn.utils.parametrize.is_parametrized(old):
        kind = kind.__bases__[0]
    try:
        own = vars(kind(1, 1, 1, device="meta")).keys()
    except (TypeError, ValueError):  # a subclass that is built otherwise
        return
    for name in vars(old).keys() - own - vars(new).keys():
        # torch's own notes are about the old layer: its compiled call, say, or a computed weight.
        ours = name.startswith("_") or name == "kept_responses"
        if not ours and not isinstance(getattr(old, name), Tensor):
            setattr(new, name, getattr(old, name))


def frozen_copy(weight: Tensor) -> nn.Parameter:
    """A copy that shares nothing with a weight and is not trained.

    Raises:
        ValueError: the weight has no numbers to be copied.
    """
    if weight.is_meta:
        raise ValueError("the layer is on the meta device, without numbers: load its weights first")
    return nn.Parameter(weight.detach().clone(), requires_grad=False)
