"""Detect tracers, which record a forward pass for later use."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from coordconv.hooks import has_hooks


def is_proxy(value: Any) -> bool:
    """Whether `torch.fx` is tracing: the value is a proxy, on which code cannot branch."""
    return isinstance(value, fx.Proxy)


def is_jit_tracing() -> bool:
    """Whether `torch.jit.trace` or the older ONNX exporter is recording."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def is_recorded(x: Tensor) -> bool:
    """Whether operations on `x` are recorded by a compiler, an exporter or a tracer.

    Only torch's own operations can be recorded: no `autograd.Function` and no hook.
    """
    return torch.compiler.is_compiling() or is_jit_tracing() or is_proxy(x)


def as_one_step(module: nn.Module, x: Any, *options: Any) -> Any:
    """Record the call of a module as one step of a `torch.fx` graph, like torch's own layers.

    Args:
        module: the module that is called.
        x: the proxy that it is called with.
        *options: other arguments.

    Returns:
        A proxy of the output. None if the module is not part of the traced model or is the traced
        model itself, or if it has hooks: these run on proxies and are recorded, and would run again
        in that step.
    """
    if has_hooks(module, but_for_weights=True):
        return None
    try:
        path = x.tracer.path_of_module(module)
    except NameError:  # not part of the traced model
        return None
    given = tuple(option for option in options if option is not None)
    return x.tracer.create_proxy("call_module", path, (x, *given), {}) if path else None
