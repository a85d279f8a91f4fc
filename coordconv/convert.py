"""Convert the convolutions of a model to CoordConv, and fold the CoordConv layers of a model."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from coordconv.base import CoordConvNd
from coordconv.copying import copied
from coordconv.folded import carry_over
from coordconv.hooks import has_hooks
from coordconv.inside import coordconv_layers, inputs_of_layers
from coordconv.layer import CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d
from coordconv.modes import making_constants

_CONVERTED: dict[type[nn.Module], type[CoordConvNd]] = {
    layer.ordinary: layer for layer in (CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d)
}


def to_coordconv(
    model: nn.Module,
    which: str | Iterable[str] | Callable[[str, nn.Module], bool] | None = None,
    *,
    with_r: bool = False,
) -> nn.Module:
    """Convert convolutions of any model to CoordConv without changing its outputs.

    The model is changed in place and returned; a model that is itself a convolution cannot be
    changed in place, so use the returned one. Data kernels and biases remain the same parameter
    objects, coordinate kernels start at zero, and device, type, memory format, `requires_grad` and
    training mode are kept. A layer that is used in several places stays shared. Create the
    optimizer after the conversion: an earlier one does not contain the new `coord_weight`
    parameters.

    Args:
        model: any torch model.
        which: dotted names as in `model.named_modules()`, or a function of (name, convolution)
            that returns whether to convert it. None converts every ordinary convolution.
        with_r: also add the radius channel.

    Returns:
        The converted model.

    Raises:
        ValueError: no module was chosen, a name does not exist, or a chosen module cannot be
            converted: it is not a convolution, is a subclass of one (lazy, parametrized,
            quantized), has no CoordConv version, or has hooks, which a new layer would lose.

    Examples:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
        >>> to_coordconv(model, "0")[0]
        CoordConv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))
    """
    chosen = _choose(model, which)
    for name, module in chosen.items():
        _check_convertible(name, module)
    layers: dict[nn.Module, nn.Module] = {m: _converted(m, with_r) for m in chosen.values()}
    return _replace_modules(model, layers)


def _choose(
    model: nn.Module, which: str | Iterable[str] | Callable[[str, nn.Module], bool] | None
) -> dict[str, nn.Module]:
    modules = dict(model.named_modules(remove_duplicate=False))
    convolutions = {name: modules[name] for name in modules if _is_convolution(modules[name])}
    known = ", ".join(repr(name) for name in convolutions) or "none"
    if isinstance(which, Iterable):
        names = [which] if isinstance(which, str) else list(which)
        for name in names:
            if name not in modules:
                nearest = difflib.get_close_matches(name, convolutions or modules, n=1, cutoff=0)
                raise ValueError(
                    f"the model has no module {name!r}; the nearest is {nearest[0]!r} "
                    f"(convolutions: {known})"
                )
        chosen = {name: modules[name] for name in names}
    else:
        chosen = {
            name: module
            for name, module in convolutions.items()
            if which is None or which(name, module)
        }
    if not chosen:
        raise ValueError(f"no convolution was chosen for conversion (convolutions: {known})")
    return chosen


def _is_convolution(module: nn.Module) -> bool:
    return isinstance(module, (*_CONVERTED, nn.ConvTranspose1d, nn.ConvTranspose3d))


def _check_convertible(name: str, module: nn.Module) -> None:
    kind = type(module).__name__
    if type(module) not in _CONVERTED:
        if isinstance(module, CoordConvNd):
            reason = "it already has coordinates"
        elif isinstance(module, nn.modules.lazy.LazyModuleMixin):
            reason = "its shape is not known yet: run the model on one batch first"
        elif nn.utils.parametrize.is_parametrized(module):
            reason = "it is parametrized: call parametrize.remove_parametrizations first"
        else:
            able = ", ".join(ordinary.__name__ for ordinary in _CONVERTED)
            reason = f"only {able} can, but not their subclasses"
        raise ValueError(f"{name!r} ({kind}) cannot become CoordConv: {reason}")
    if has_hooks(module):
        raise ValueError(
            f"{name!r} ({kind}) has hooks that a new layer would lose "
            "(for example from torch.nn.utils.weight_norm): remove them first"
        )


def _converted(conv: Any, with_r: bool) -> CoordConvNd:
    layer_class: Any = _CONVERTED[type(conv)]
    geometry = {name: getattr(conv, name) for name in layer_class.geometry_names}
    weight, bias = conv.weight, conv.bias
    # On the meta device, so that conversion draws no random numbers.
    layer: CoordConvNd = layer_class(
        **geometry, bias=bias is not None, with_r=with_r, device="meta", dtype=weight.dtype
    )
    with making_constants(weight.device):
        coord_weight = weight.new_zeros(layer.coord_weight.shape)
    channels_last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(weight.dim())
    if channels_last is not None and not weight.is_contiguous():
        coord_weight = coord_weight.contiguous(memory_format=channels_last)
    layer.weight, layer.bias = weight, bias
    layer.coord_weight = nn.Parameter(coord_weight, requires_grad=weight.requires_grad)
    carry_over(conv, layer)
    return layer.train(conv.training)


def fold_model(model: nn.Module, *example_inputs: Any) -> nn.Module:
    """Copy a trained model for inference, with constant where-maps.

    The copy is in evaluation mode and has the model's outputs in that mode, for inputs of the
    example's spatial size. CoordConv layers that the example does not reach are not folded.
    Attributes that are neither modules nor tensors are copied if Python can copy them, and shared
    otherwise.

    Args:
        model: a model with CoordConv layers; not changed.
        *example_inputs: arguments to call the model with once, to find each layer's input size.

    Returns:
        The folded copy.

    Raises:
        ValueError: a layer is called with inputs of different sizes, which one constant cannot
            serve, or has hooks, which its folded form would lose.
    """
    # A copy made in inference mode could never take part in a gradient.
    with torch.inference_mode(False):
        folded = copied(model).eval()
    received = inputs_of_layers(folded, *example_inputs)
    constants: dict[nn.Module, nn.Module] = {}
    for name, layer in coordconv_layers(folded):
        sizes = {tuple(x.shape[-layer.n_dims :]) for x in received[name]}
        if len(sizes) > 1:
            raise ValueError(
                f"{name!r} gets inputs of different sizes, {sorted(sizes)}: it cannot be folded "
                "into one constant; use the model without folding"
            )
        if sizes:
            constants[layer] = layer.fold(sizes.pop())
    return _replace_modules(folded, constants).eval()


def _replace_modules(model: nn.Module, replacements: dict[nn.Module, nn.Module]) -> nn.Module:
    """Replace modules of the model in place, wherever they are registered; returns the model."""
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child in replacements:
                setattr(parent, name, replacements[child])
    return replacements.get(model, model)
