"""The CoordConv layers of a model and their inputs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from coordconv.base import CoordConvNd


def coordconv_layers(model: nn.Module) -> Iterator[tuple[str, CoordConvNd]]:
    """The CoordConv layers of a model with their dotted names, each layer once.

    Examples:
        >>> from coordconv import CoordConv2d
        >>> [name for name, _ in coordconv_layers(nn.Sequential(CoordConv2d(1, 2, 3), nn.ReLU()))]
        ['0']
    """
    for name, module in model.named_modules():
        if isinstance(module, CoordConvNd):
            yield name, module


@torch.no_grad()
def inputs_of_layers(model: nn.Module, *example_inputs: Any) -> dict[str, list[Tensor]]:
    """The inputs of each CoordConv layer, one tensor per call, when the model runs.

    Layers that the model does not call have an empty list.

    Raises:
        ValueError: a transposed layer is called with an `output_size`, which its where-map would
            have to follow.
    """
    received: dict[str, list[Tensor]] = {}
    handles = []
    for name, layer in coordconv_layers(model):
        received[name] = []

        def record(
            _: nn.Module, args: tuple[Any, ...], options: dict[str, Any], name: str = name
        ) -> None:
            given = dict(zip(("x", "output_size"), args, strict=False)) | options
            if given.get("output_size") is not None:
                raise ValueError(
                    f"{name!r} is called with an output_size, which is not supported here"
                )
            received[name].append(given["x"])

        handles.append(layer.register_forward_pre_hook(record, with_kwargs=True))
    try:
        with _uncompiled():
            model(*example_inputs)
    finally:
        for handle in handles:
            handle.remove()
    return received


def _uncompiled() -> AbstractContextManager[object]:
    """Within this context, compiled models run in eager mode, so that new hooks run too."""
    # If nothing was compiled, the compiler is not loaded, because that takes seconds and memory.
    compiled = "torch._dynamo" in sys.modules
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
