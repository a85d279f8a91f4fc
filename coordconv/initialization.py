"""Drawing the two kernels of a CoordConv layer as the one kernel of the concatenating layer."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn


class JointlyDrawn(nn.Module):
    """A layer whose `weight` and `coord_weight` are the parts of one joint kernel [W; V]."""

    if TYPE_CHECKING:  # torch.jit.script would read annotations
        weight: nn.Parameter
        coord_weight: nn.Parameter
        bias: nn.Parameter | None

    def reset_parameters(self) -> None:
        """Draw both kernels and the bias as torch draws those of the concatenating layer.

        That is one kaiming-uniform kernel over the joint fan-in of data and coordinates. With the
        same seed the numbers are those layer's, bit for bit. With `groups` the concatenating layer
        is the grouped convolution in which every group sees its own data channels and all the
        coordinates, so a group's fan-in counts the coordinates once.
        """
        self.draw_jointly_(partial(nn.init.kaiming_uniform_, a=math.sqrt(5)))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self._joint_shape()[1:]))
            nn.init.uniform_(self.bias, -bound, bound)

    def init_orthogonal_(self, gain: float = 1.0) -> None:
        """Draw one orthogonal matrix for the joint kernel [W; V], and set the bias to zero.

        This is what Stable-Baselines3 does to the concatenating layer (with gain √2), bit for bit
        with the same seed.
        """
        self.draw_jointly_(partial(nn.init.orthogonal_, gain=gain))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @torch.no_grad()
    def draw_jointly_(self, draw: Callable[[Tensor], Tensor]) -> None:
        """Draw the joint kernel [W; V] of data and coordinates; the bias stays.

        Args:
            draw: fills the kernel that the concatenating layer would have, and returns it, as the
                functions of `torch.nn.init` do: `layer.draw_jointly_(nn.init.kaiming_normal_)`.

        Raises:
            ValueError: a kernel is computed from other parameters, and what is drawn for it would
                be lost.
        """
        if not {"weight", "coord_weight"} <= set(self._parameters):
            raise ValueError(
                f"the kernels of this {type(self).__name__} are computed (parametrized, normed or "
                "pruned): draw them before that"
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
