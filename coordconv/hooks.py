"""Hooks of layers, and the weights that some of them compute."""

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

# Hooks that only compute a weight before each call (`parametrize` does it without hooks).
WEIGHT_HOOKS = (BasePruningMethod, SpectralNorm, WeightNorm)


def has_hooks(module: nn.Module, *, but_for_weights: bool = False) -> bool:
    """Whether calling the module runs anything besides its `forward`.

    Args:
        module: any module.
        but_for_weights: ignore hooks that only compute a weight.
    """
    before = list(module._forward_pre_hooks.values())
    if but_for_weights:
        before = [hook for hook in before if not isinstance(hook, WEIGHT_HOOKS)]
    others = module._forward_hooks or module._backward_pre_hooks or module._backward_hooks
    return bool(before or others)


@contextmanager
def computed_weights(layer: nn.Module) -> Iterator[None]:
    """Within this context, a layer has the weights of its next call in evaluation mode."""
    modes = {module: module.training for module in layer.modules()}
    layer.eval()  # in training mode, spectral_norm updates its estimate at each use
    try:
        for hook in list(layer._forward_pre_hooks.values()):
            if isinstance(hook, WEIGHT_HOOKS):
                hook(layer, ())
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def check_spectral_norm(transposed: nn.Module) -> None:
    """Check that spectral_norm was applied to a transposed layer along the right dimension.

    torch recognizes transposed convolutions by their type and does not know this layer's.

    Raises:
        ValueError: it was applied along the input channels of the layer's weight.
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
            f"spectral_norm treated {type(transposed).__name__} as an ordinary convolution and "
            "normalized along its input channels: call it with dim=1"
        )
