"""Hooks: what runs beside a layer's `forward`, and the weights that some of them compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

# Those that only compute a weight, before each call. (`parametrize` does it on access, by no hook.)
WEIGHT_HOOKS = (BasePruningMethod, SpectralNorm, WeightNorm)


def has_hooks(module: nn.Module, *, but_for_weights: bool = False) -> bool:
    """Whether calling the module runs anything besides its `forward`.

    Args:
        module: any.
        but_for_weights: hooks that only compute a weight do not count.
    """
    before = list(module._forward_pre_hooks.values())
    if but_for_weights:
        before = [hook for hook in before if not isinstance(hook, WEIGHT_HOOKS)]
    others = module._forward_hooks or module._backward_pre_hooks or module._backward_hooks
    return bool(before or others)


@contextmanager
def computed_weights(layer: nn.Module) -> Iterator[None]:
    """Within this, a layer's weights are those of its next call in evaluation mode."""
    modes = {module: module.training for module in layer.modules()}
    layer.eval()  # in training mode spectral_norm draws nearer to the norm at each use
    try:
        for hook in list(layer._forward_pre_hooks.values()):
            if isinstance(hook, WEIGHT_HOOKS):
                hook(layer, ())
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def check_spectral_norm(transposed: nn.Module) -> None:
    """Torch's spectral_norm knows a transposed convolution by its type, and this layer has another.

    Raises:
        ValueError: it was applied along the input channels of a transposed layer's weight.
    """
    norms: list[Any] = [
        hook
        for hook in transposed._forward_pre_hooks.values()
        if isinstance(hook, SpectralNorm) and hook.name == "weight"
    ]
    if parametrize.is_parametrized(transposed, "weight"):
        computed: Any = transposed.parametrizations
        norms += [step for step in computed.weight if isinstance(step, _SpectralNorm)]
    if any(norm.dim == 0 for norm in norms):
        raise ValueError(
            f"spectral_norm took {type(transposed).__name__} for an ordinary convolution and "
            "normalized along its inputs: call it with dim=1"
        )
