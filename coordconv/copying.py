"""Copies of models that hold what `copy.deepcopy` refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def copied(model: nn.Module) -> nn.Module:
    """A deep copy of a model, for inference.

    `copy.deepcopy` refuses tensors that are still part of a graph, which a model keeps of its last
    pass (a policy its last distribution, an old `weight_norm` the weight): copies of them are cut
    off from it. What cannot be copied at all, such as a lock or a logger, is shared.
    """
    try:
        with _DetachedCopies():
            twin = copy.deepcopy(model)
    except Exception:  # whatever an attribute of somebody's model raises
        twin = _copied_by_attributes(model)
    for module in twin.modules():
        module._compiled_call_impl = None  # of `module.compile()`: it would call the original
    return twin


class _DetachedCopies(TorchFunctionMode):
    """Within this, deep copies of tensors in a graph are tensors outside it."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation of torch."""
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            return memo.setdefault(id(tensor), copy.deepcopy(tensor.detach(), memo))
        return func(*args, **(kwargs or {}))


def _copied_by_attributes(model: nn.Module) -> nn.Module:
    # Every module has its copy, still empty, before attributes that refer to it are copied.
    copies = {module: type(module).__new__(type(module)) for module in model.modules()}
    memo: dict[int, Any] = {id(module): copied for module, copied in copies.items()}
    alive: list[Any] = []  # what copies were made of, whose addresses nothing new may take
    for module, twin in copies.items():
        for name, value in vars(module).items():
            # A copy that failed leaves unfinished objects behind: only those of a success are kept.
            attempt = dict(memo)
            try:
                with _DetachedCopies():
                    twin.__dict__[name] = copy.deepcopy(value, attempt)
            except Exception:
                twin.__dict__[name] = value
            else:
                alive.append(attempt.pop(id(attempt), None))
                memo = attempt
    return copies[model]
