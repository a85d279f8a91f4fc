"""Reuse the forward passes of play in A2C's update.

A2C takes one gradient step on the observations of the last rollout, with the weights that played
it. The forward pass of that step would recompute the numbers that acting computed. Storing them
leaves only the backward pass, two thirds of the step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from coordconv import CoordConv2d
from coordconv.broadcast import sum_over_batch
from coordconv.sb3 import AtariPolicy, capabilities
from coordconv.sb3.layers import ConvReLU, LinearReLU
from coordconv.sb3.precision import is_emulated


def can_be_recalled(policy: AtariPolicy) -> bool:
    """Whether the policy has one shared trunk, which declares the capability `recalls`."""
    trunk = type(policy.features_extractor)
    return policy.share_features_extractor and capabilities.has(trunk, "recalls")


class PlayedPasses:
    """The outputs of a trunk's layers for a rollout's observations, to be reused by the update.

    The memory is allocated at the first recording and reused.

    Args:
        policy: a policy that `can_be_recalled`.
        steps: steps of a rollout.
        environments: environments of a rollout.

    Attributes:
        complete: whether the passes of all observations of the newest rollout are stored, and the
            weights have not changed since. The rollout sets it at its end.
    """

    def __init__(self, policy: AtariPolicy, steps: int, environments: int) -> None:
        self._policy, self._shape = policy, (steps, environments)
        self._memory: dict[str, Tensor] = {}
        self._last_pass = _Pass()
        self.complete = False

    @contextmanager
    def recording(self, observation: Tensor) -> Iterator[None]:
        """A context in which `store` keeps the passes of the policy while it is `playing`.

        Args:
            observation: any observation, (1, C, H, W) uint8, to find the size of the outputs.
        """
        self.complete = False
        with ExitStack() as hooks:
            for name, layer in _layers(self._policy.playing_trunk):
                hook = layer.register_forward_hook(self._recorder(name))
                hooks.enter_context(_removing(hook))
            if not self._memory:
                with torch.no_grad():
                    self._policy.logits_and_values(observation)
                self._memory = {
                    name: _channels_last(output).new_empty(
                        (*self._shape, *_channels_last(output).shape[1:])
                    )
                    for name, output in self._last_pass.outputs.items()
                }
            yield

    def store(self, step: int, environments: slice) -> None:
        """Store this thread's newest pass for the rollout's `step`."""
        for name, output in self._last_pass.outputs.items():
            self._memory[name][step, environments] = _channels_last(output)

    @contextmanager
    def recalling(self) -> Iterator[None]:
        """A context in which the trunk's layers return their outputs of play, with gradients.

        It is for one gradient step on all observations of the rollout: all environments of the
        first step, then of the second, and so on. That step changes the weights, so that the passes
        cannot be used again.
        """
        self.complete = False
        layers = dict(_layers(self._policy.features_extractor))
        for name, layer in layers.items():
            rows = self._memory[name].flatten(0, 1)
            output = rows.permute(0, 3, 1, 2) if rows.dim() == 4 else rows
            layer.forward = partial(_recalled, layer, output)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for layer in layers.values():
                del layer.forward

    def _recorder(self, name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def record(layer: nn.Module, inputs: Any, output: Tensor) -> None:
            self._last_pass.outputs[name] = output

        return record


class _Pass(threading.local):
    """A thread's newest pass: the layers' outputs by name."""

    def __init__(self) -> None:
        self.outputs: dict[str, Tensor] = {}


def _layers(trunk: nn.Module) -> list[tuple[str, ConvReLU | LinearReLU]]:
    return [
        (name, layer)
        for name, layer in trunk.named_modules()
        if isinstance(layer, (ConvReLU, LinearReLU))
    ]


@contextmanager
def _removing(hook: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        hook.remove()


def _channels_last(output: Tensor) -> Tensor:
    return output.permute(0, 2, 3, 1) if output.dim() == 4 else output


def _recalled(layer: ConvReLU | LinearReLU, y: Tensor, x: Tensor) -> Tensor:
    """`y`, with the gradients that `layer(x)` has.

    Args:
        layer: a linear layer, or a Conv2d or CoordConv2d with zero padding and without groups.
        y: the layer's output for x with the same weights.
        x: the layer's input; the weights are rounded to its dtype, as autocast does.
    """
    recalled: Tensor
    if isinstance(layer, LinearReLU):
        weight, bias = layer.weight.to(x.dtype), layer.bias.to(x.dtype)
        recalled = _LinearReLU.apply(x, weight, bias, y)  # type: ignore[no-untyped-call]
        return recalled
    convolution = layer.convolution
    assert isinstance(convolution, (nn.Conv2d, CoordConv2d))
    assert convolution.bias is not None
    added = convolution.bias
    if isinstance(convolution, CoordConv2d):
        # Its gradient reaches the coordinate kernel and the bias.
        added = convolution.where_map(*x.shape[2:])
    geometry = (convolution.stride, convolution.padding, convolution.dilation)
    weight = convolution.weight.to(x.dtype)
    recalled = _ConvolutionReLU.apply(x, weight, added, y, geometry)  # type: ignore[no-untyped-call]
    return recalled


class _ConvolutionReLU(torch.autograd.Function):
    """A convolution; `added` is its bias (C',), or a where-map (C', H', W') that includes it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, added: Tensor, y: Tensor, geometry: tuple[Any, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight, y)
        ctx.geometry, ctx.has_map = geometry, added.dim() > 1
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        grad = torch.ops.aten.threshold_backward(grads[0], y, 0)
        grad_x, grad_weight, grad_added = torch.ops.aten.convolution_backward(
            *_factors(grad, x, weight),
            [len(weight)],
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            1,
            [ctx.needs_input_grad[0], True, not ctx.has_map],
        )
        if ctx.has_map:
            grad_added = sum_over_batch(grad)
        if grad_x is not None:
            grad_x = grad_x.to(x.dtype)
        return grad_x, grad_weight.to(x.dtype), grad_added, None, None


class _LinearReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, y)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grads[0], y, 0)
        exact_grad, x, weight = _factors(grad, x, weight)
        grad_x, grad_weight = exact_grad @ weight, exact_grad.t() @ x
        return grad_x.to(grad.dtype), grad_weight.to(grad.dtype), grad.sum(dim=0), None


def _factors(*factors: Tensor) -> Sequence[Tensor]:
    """The factors; bfloat16 is converted to float32 if this machine only emulates bfloat16."""
    first = factors[0]
    if first.dtype == torch.bfloat16 and is_emulated(first.device.type):
        return [factor.float() for factor in factors]
    return factors
