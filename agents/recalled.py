"""The forward pass of A2C's update, taken from play.

A2C takes its only gradient step over the observations that it has just played, with the weights
that it played them with. The forward pass of that step would give the numbers that acting gave.
Keeping them leaves the backward pass to do, two thirds of the step.
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
    """Whether the policy has one trunk, and that declares the capability `recalls`."""
    trunk = type(policy.features_extractor)
    return policy.share_features_extractor and capabilities.has(trunk, "recalls")


class PlayedPasses:
    """What the layers of a trunk gave for a rollout's observations, and the step that reuses it.

    The memory is allocated at the first recording and reused.

    Args:
        policy: one that `can_be_recalled`.
        steps: of a rollout.
        environments: of a rollout.

    Attributes:
        complete: whether every observation's pass of the newest rollout is kept, and the weights
            are still those that made it. The rollout sets it when it is done.
    """

    def __init__(self, policy: AtariPolicy, steps: int, environments: int) -> None:
        self._policy, self._shape = policy, (steps, environments)
        self._memory: dict[str, Tensor] = {}
        self._last_pass = _Pass()
        self.complete = False

    @contextmanager
    def recording(self, observation: Tensor) -> Iterator[None]:
        """Within this, `store` keeps passes that the policy makes while it is `playing`.

        Args:
            observation: any, (1, C, H, W) uint8; shows what size the layers' outputs have.
        """
        self.complete = False
        with ExitStack() as hooks:
            for name, layer in _layers(self._policy.playing_trunk):
                hooks.enter_context(_removed(layer.register_forward_hook(self._recorder(name))))
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
        """Keep the newest pass of this thread as that of the rollout's `step`."""
        for name, output in self._last_pass.outputs.items():
            self._memory[name][step, environments] = _channels_last(output)

    @contextmanager
    def recalling(self) -> Iterator[None]:
        """Within this, the trunk's layers give what they gave in play, with their gradients.

        For one gradient step over all observations of the rollout, environment after environment
        of the first step, then of the second. Its end changes the weights, so that the passes
        serve no second time.
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
    """The newest pass that a thread made: layers' outputs by name."""

    def __init__(self) -> None:
        self.outputs: dict[str, Tensor] = {}


def _layers(trunk: nn.Module) -> list[tuple[str, ConvReLU | LinearReLU]]:
    return [
        (name, layer)
        for name, layer in trunk.named_modules()
        if isinstance(layer, (ConvReLU, LinearReLU))
    ]


@contextmanager
def _removed(hook: torch.utils.hooks.RemovableHandle) -> Iterator[None]:
    try:
        yield
    finally:
        hook.remove()


def _channels_last(output: Tensor) -> Tensor:
    return output.permute(0, 2, 3, 1) if output.dim() == 4 else output


def _recalled(layer: ConvReLU | LinearReLU, y: Tensor, x: Tensor) -> Tensor:
    """`y`, with the gradients that `layer(x)` has.

    Args:
        layer: a linear one; or one around a Conv2d or a CoordConv2d with zero padding and without
            groups.
        y: its output for x with the same weights.
        x: its input; the weights are rounded to its type, as autocast rounds them.
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
        # Its gradient is that of the coordinate kernel and of the bias.
        added = convolution.where_map(*x.shape[2:])
    geometry = (convolution.stride, convolution.padding, convolution.dilation)
    weight = convolution.weight.to(x.dtype)
    recalled = _ConvolutionReLU.apply(x, weight, added, y, geometry)  # type: ignore[no-untyped-call]
    return recalled


class _ConvolutionReLU(torch.autograd.Function):
    """`added` is the bias (C',), or a where-map (C', H', W') that contains it."""

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
            *_factors(grad, x, weight), [len(weight)], stride, padding, dilation, False, [0, 0], 1,
            [ctx.needs_input_grad[0], True, not ctx.has_map],
        )  # fmt: skip
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
    """What to multiply: bfloat16 numbers as float32 where this machine multiplies those faster."""
    first = factors[0]
    if first.dtype == torch.bfloat16 and is_emulated(first.device.type):
        return [factor.float() for factor in factors]
    return factors
