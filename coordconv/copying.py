"""Copy models that contain objects that `copy.deepcopy` rejects."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def copied(model: nn.Module) -> nn.Module:
    """A deep copy of a model, for inference.

    `copy.deepcopy` rejects tensors that are part of a graph, which models may keep from their last
    pass (a policy its last distribution, an old `weight_norm` the weight). Here, they are copied
    detached. Objects that cannot be copied at all, such as a lock or a logger, are shared.
    """
    try:
        with _DetachedCopies():
            twin = copy.deepcopy(model)
    except Exception:  # copying an attribute of a user's model may raise anything
        twin = _copied_by_attributes(model)
    for module in twin.modules():
        module._compiled_call_impl = None  # set by `module.compile()`; it would call the original
    return twin


class _DetachedCopies(TorchFunctionMode):
    """Within this context, deep copies of tensors in a graph are detached."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Intercept one operation of torch."""
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            return memo.setdefault(id(tensor), copy.deepcopy(tensor.detach(), memo))
        return func(*args, **(kwargs or {}))


def _copied_by_attributes(model: nn.Module) -> nn.Module:
    # Create an empty copy of every module before copying attributes that refer to it.
    copies = {module: type(module).__new__(type(module)) for module in model.modules()}
    memo: dict[int, Any] = {id(module): copied for module, copied in copies.items()}
    alive: list[Any] = []  # originals of copies, kept alive because `memo` is keyed by address
    for module, twin in copies.items():
        for name, value in vars(module).items():
            # A failed copy leaves unfinished objects in its memo: only a successful one is kept.
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
