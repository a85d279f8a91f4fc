"""Folded CoordConv layers for inference: an ordinary convolution plus a constant map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from coordconv.hooks import has_hooks
from coordconv.tracing import as_one_step, is_jit_tracing, is_proxy

# torch.fx records a call of this function as one step.
fx.wrap("of_size")

# Attributes of a convolution that models may read.
GEOMETRY = frozenset(
    {
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
        "output_padding",
        "transposed",
    }
)


def of_size(x: Tensor, input_size: tuple[int, ...], layer_name: str) -> Tensor:
    """Return `x` after checking that it has the spatial size that a layer was folded for.

    Raises:
        TypeError: `x` is quantized or not dense.
        ValueError: `x` has another spatial size.
    """
    n_dims = len(input_size)
    if is_jit_tracing():
        # A trace records no branches, but this view fails for another size.
        return x.view(*x.shape[:-n_dims], *input_size)
    if x.is_quantized:
        raise TypeError(
            f"a folded {layer_name} needs a floating-point input, got {x.dtype}: exclude the "
            "layer from quantization (folded.qconfig = None)"
        )
    if x.is_mkldnn:
        raise TypeError(
            f"a folded {layer_name} needs a dense input, got one in oneDNN's layout: call "
            ".to_dense() on the output of the layer before"
        )
    size = tuple(x.shape[-n_dims:])
    if size != input_size:
        raise ValueError(
            f"this {layer_name} was folded for inputs of {input_size}, got {size}: fold the "
            f"trained layer for this size, layer.fold({size})"
        )
    return x


class FoldedCoordConv(nn.Module):
    """A CoordConv layer with a constant where-map, created by `layer.fold(size)`.

    It has the layer's outputs for inputs of one spatial size and computes nothing from coordinates.

    Args:
        conv: ordinary layer with the data kernel and the bias.
        added: (C, *output spatial size), the coordinates' part of the output.
        input_size: spatial size of the inputs.
        layer_name: class name of the folded layer, for messages.
    """

    if TYPE_CHECKING:  # torch.jit.script would read the annotation, but does not support it
        added: Tensor

    def __init__(
        self, conv: nn.Module, added: Tensor, input_size: tuple[int, ...], layer_name: str
    ) -> None:
        super().__init__()
        self.conv = conv
        self.input_size = input_size
        self._input_size = list(input_size)  # a list, for the comparison in torch.jit.script
        self.layer_name = layer_name
        self.register_buffer("added", added)

    def forward(self, x: Tensor) -> Tensor:
        """The output of the original layer.

        Args:
            x: (N, in_channels, *input_size) or (in_channels, *input_size), floating point.

        Raises:
            TypeError: `x` is quantized or not dense.
            ValueError: the layer was folded for another spatial size.
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
        # Added in the type of the response, as in the layer: under autocast, a lower precision.
        added = self.added.to(response.dtype)
        # Only a hook could have kept the response; without hooks it is safe to add in place.
        return response + added if has_hooks(self.conv) else response.add_(added)

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias"):
            raise AttributeError(
                f"a folded {self.layer_name} has no {name} of its own, but `conv.{name}` and the "
                "constant `added`: apply tools that change weights before folding"
            )
        if name in GEOMETRY:
            return getattr(super().__getattr__("conv"), name)
        return super().__getattr__(name)

    def extra_repr(self) -> str:
        """The layer's class and input size."""
        return f"{self.layer_name}, input_size={self.input_size}"


def carry_over(old: nn.Module, new: nn.Module) -> None:
    """Copy attributes that users set on a layer, such as a model's graph, to its replacement."""
    kind: Any = type(old)
    if nn.utils.parametrize.is_parametrized(old):
        kind = kind.__bases__[0]
    try:
        own = vars(kind(1, 1, 1, device="meta")).keys()
    except (TypeError, ValueError):  # a subclass with another constructor
        return
    for name in vars(old).keys() - own - vars(new).keys():
        # torch's private attributes, such as a compiled call, belong to the old layer.
        ours = name.startswith("_") or name == "kept_responses"
        if not ours and not isinstance(getattr(old, name), Tensor):
            setattr(new, name, getattr(old, name))


def frozen_copy(weight: Tensor) -> nn.Parameter:
    """A copy of a weight that shares no memory with it and needs no gradient.

    Raises:
        ValueError: the weight is on the meta device and has no values.
    """
    if weight.is_meta:
        raise ValueError(
            "the layer is on the meta device and has no values: load its weights first"
        )
    return nn.Parameter(weight.detach().clone(), requires_grad=False)
