"""Optimizers that do not load torch's compiler.

The first optimizer of a process makes torch import its compiler, only to tell it to leave the
optimizer's methods alone (`torch/_compile.py`). Every step of Adam imports it again, to mark where
a compiled graph has to end (`torch/optim/optimizer.py`). Nothing is compiled here, and the import
takes about as long as that of torch itself (`benchmarks.start`).
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import torch
from torch.optim import Adam, Optimizer

# Where torch's wrapper of these methods looks for the function that replaces the import.
REPLACEMENT = "__dynamo_disable"
LEFT_ALONE = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


@functools.cache
def leave_compiler_unloaded() -> None:
    """Let optimizers work without importing torch's compiler, unless it is already imported.

    Results do not change. What another version of torch wraps in another way is left as it is, and
    the compiler is imported as usual.
    """
    if "torch._dynamo" in sys.modules:
        return
    for name in LEFT_ALONE:
        method = getattr(getattr(Optimizer, name), "__wrapped__", None)
        if method is not None:
            setattr(method, REPLACEMENT, method)
    step = getattr(Adam.step, "__wrapped__", None)
    if step is not None:
        Adam.step = _uncompiled(step)  # type: ignore[method-assign]


def _uncompiled(step: Any) -> Any:
    """The step, with gradients switched on or off as torch does it."""

    @functools.wraps(step)
    def uncompiled(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step(self, *args, **kwargs)

    return uncompiled
