"""Passes that are recorded for later instead of being computed once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from coordconv.hooks import has_hooks


def is_proxy(value: Any) -> bool:
    """Whether `torch.fx` traces: the value stands for one, and no branch can look at it."""
    return isinstance(value, fx.Proxy)


def is_jit_tracing() -> bool:
    """Whether `torch.jit.trace` or the older ONNX exporter records what is computed."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined, no-untyped-call]


def is_recorded(x: Tensor) -> bool:
    """Whether operations on `x` are recorded by a compiler, an exporter or a tracer.

    They then have to be torch's own: neither an `autograd.Function` nor a hook can be written down.
    """
    return torch.compiler.is_compiling() or is_jit_tracing() or is_proxy(x)


def as_one_step(module: nn.Module, x: Any, *options: Any) -> Any:
    """The call of a module as one step of a `torch.fx` graph, as torch's own layers are recorded.

    Args:
        module: what is called.
        x: the proxy it is called with.
        *options: what else.

    Returns:
        A proxy of its output; None where the module is itself what is traced, or has hooks: they
        run on proxies and are recorded, and would run again in that step.
    """
    if has_hooks(module, but_for_weights=True):
        return None
    try:
        path = x.tracer.path_of_module(module)
    except NameError:  # it is no part of what is traced
        return None
    given = tuple(option for option in options if option is not None)
    return x.tracer.create_proxy("call_module", path, (x, *given), {}) if path else None
