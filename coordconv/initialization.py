"""Initialization of both kernels of a CoordConv layer as one joint kernel."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn


class JointlyDrawn(nn.Module):
    """A layer whose `weight` and `coord_weight` are drawn as parts of one joint kernel [W; V]."""

    if TYPE_CHECKING:  # torch.jit.script would read annotations
        weight: nn.Parameter
        coord_weight: nn.Parameter
        bias: nn.Parameter | None

    def reset_parameters(self) -> None:
        """Draw both kernels and the bias as torch initializes the concatenating layer.

        This draws one kaiming-uniform kernel over the joint fan-in of data and coordinates. With
        the same seed, the values equal that layer's bit for bit. With `groups`, the concatenating
        layer is a grouped convolution in which every group sees its own data channels and all
        coordinates, so the fan-in of each group counts the coordinates once.
        """
        self.draw_jointly_(partial(nn.init.kaiming_uniform_, a=math.sqrt(5)))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self._joint_shape()[1:]))
            nn.init.uniform_(self.bias, -bound, bound)

    def init_orthogonal_(self, gain: float = 1.0) -> None:
        """Draw one orthogonal matrix for the joint kernel [W; V], and set the bias to zero.

        With the same seed, the values equal bit for bit those that Stable-Baselines3 draws for the
        concatenating layer (with gain √2).

        Args:
            gain: scaling factor of the matrix.
        """
        self.draw_jointly_(partial(nn.init.orthogonal_, gain=gain))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @torch.no_grad()
    def draw_jointly_(self, draw: Callable[[Tensor], Tensor]) -> None:
        """Draw the joint kernel [W; V] of data and coordinates; the bias does not change.

        Args:
            draw: fills the kernel of the concatenating layer in place and returns it, like the
                functions of `torch.nn.init`: `layer.draw_jointly_(nn.init.kaiming_normal_)`.

        Raises:
            ValueError: a kernel is computed from other parameters, so that the drawn values would
                be lost.
        """
        if not {"weight", "coord_weight"} <= set(self._parameters):
            raise ValueError(
                f"the kernels of this {type(self).__name__} are computed (parametrized, normalized "
                "or pruned): initialize the layer before that"
            )
        weight, coord_weight = self._split(draw(self.weight.new_empty(self._joint_shape())))
        self.weight.copy_(weight)
        self.coord_weight.copy_(coord_weight)

    def _joint_shape(self) -> tuple[int, ...]:
        """Shape of the concatenating layer's weight."""
        raise NotImplementedError

    def _split(self, joint: Tensor) -> tuple[Tensor, Tensor]:
        """The concatenating layer's weight as (weight, coord_weight)."""
        raise NotImplementedError
