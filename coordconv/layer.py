"""CoordConv versions of torch's Conv1d, Conv2d, Conv3d and ConvTranspose2d.

Liu et al. 2018, "An intriguing failing of convolutional neural networks and the CoordConv
solution", arXiv:1807.03247. Each class takes the arguments of the ordinary layer; `in_channels`
counts data channels only. `with_r=True` adds the distance from the center as another coordinate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, List, Optional  # noqa: UP035 - see `forward`

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coordconv.base import CoordConvNd
from coordconv.hooks import check_spectral_norm
from coordconv.tracing import is_proxy

Size = int | Sequence[int]


class _ForwardCoordConv(CoordConvNd):
    """Base class of the layers that are not transposed."""

    geometry_names = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    )

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        with_r: bool = False,
    ) -> None:
        super().__init__(
            {
                "in_channels": in_channels,
                "out_channels": out_channels,
                "kernel_size": kernel_size,
                "stride": stride,
                "padding": padding,
                "dilation": dilation,
                "groups": groups,
                "padding_mode": padding_mode,
            },
            bias=bias,
            with_r=with_r,
            device=device,
            dtype=dtype,
        )

    def _convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, *options: Any
    ) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            # Not every exporter can pad a single image.
            is_single = not is_proxy(x) and x.dim() == self.n_dims + 1
            if is_single:
                x = F.pad(x.unsqueeze(0), self._border(), mode=self.padding_mode).squeeze(0)
            else:
                x = F.pad(x, self._border(), mode=self.padding_mode)
            padding = (0,) * self.n_dims
        convolution = (F.conv1d, F.conv2d, F.conv3d)[self.n_dims - 1]
        return convolution(x, weight, bias, self.stride, padding, self.dilation, groups)

    def _border(self) -> list[int]:
        """The padding for F.pad: before and after each dimension, the last dimension first."""
        border: list[int] = []
        for axis in reversed(range(self.n_dims)):
            if self.padding == "valid":
                border += [0, 0]
            elif self.padding == "same":
                total = self.dilation[axis] * (self.kernel_size[axis] - 1)
                border += [total // 2, total - total // 2]
            else:
                border += [int(self.padding[axis])] * 2
        return border

    def _coord_weight_shape(self) -> tuple[int, ...]:
        return (self.out_channels, self.n_coords, *self.kernel_size)

    def _joint_shape(self) -> tuple[int, ...]:
        data_channels = self.in_channels // self.groups
        return (self.out_channels, data_channels + self.n_coords, *self.kernel_size)

    def _split(self, joint: Tensor) -> tuple[Tensor, Tensor]:
        return joint.tensor_split([self.in_channels // self.groups], dim=1)  # type: ignore[return-value]


class CoordConv1d(_ForwardCoordConv):
    """A Conv1d that also sees pixel coordinates.

    Takes the arguments of nn.Conv1d and `with_r`. The input is (N, in_channels, L) or
    (in_channels, L). `weight` is (out, in / groups, K) and `coord_weight` (out, 1 + with_r, K).

    Examples:
        >>> CoordConv1d(1, 4, kernel_size=3)(torch.zeros(2, 1, 10)).shape
        torch.Size([2, 4, 8])
    """

    n_dims = 1
    ordinary = nn.Conv1d


class CoordConv2d(_ForwardCoordConv):
    """A Conv2d that also sees pixel coordinates.

    Takes the arguments of nn.Conv2d and `with_r`. The input is (N, in_channels, H, W) or
    (in_channels, H, W). `weight` is (out, in / groups, K, L) and `coord_weight`
    (out, 2 + with_r, K, L) for any `groups`: only the data channels are split into groups, and
    every output channel sees all coordinates.

    Examples:
        >>> layer = CoordConv2d(3, 8, kernel_size=1, with_r=True)
        >>> layer
        CoordConv2d(3, 8, kernel_size=(1, 1), stride=(1, 1), with_r=True)
        >>> layer(torch.zeros(2, 3, 5, 7)).shape
        torch.Size([2, 8, 5, 7])
        >>> layer.coordinates((3, 2), device=torch.device("cpu"), dtype=torch.float32)[0]
        tensor([[-1., -1.],
                [ 0.,  0.],
                [ 1.,  1.]])
    """

    n_dims = 2
    ordinary = nn.Conv2d


class CoordConv3d(_ForwardCoordConv):
    """A Conv3d that also sees pixel coordinates.

    Takes the arguments of nn.Conv3d and `with_r`. The input is (N, in_channels, D, H, W) or
    (in_channels, D, H, W). `weight` is (out, in / groups, K, L, M) and `coord_weight`
    (out, 3 + with_r, K, L, M).

    Examples:
        >>> CoordConv3d(1, 4, kernel_size=3, padding="same")(torch.zeros(2, 1, 4, 5, 6)).shape
        torch.Size([2, 4, 4, 5, 6])
    """

    n_dims = 3
    ordinary = nn.Conv3d


class CoordConvTranspose2d(CoordConvNd):
    """A ConvTranspose2d that also sees the coordinates of its input's pixels.

    Takes the arguments of nn.ConvTranspose2d and `with_r`. The input is (N, in_channels, H, W) or
    (in_channels, H, W). `weight` is (in, out / groups, K, L) and `coord_weight`
    (2 + with_r, out, K, L).

    Examples:
        >>> layer = CoordConvTranspose2d(4, 2, kernel_size=3, stride=2, padding=1)
        >>> layer(torch.zeros(1, 4, 5, 5)).shape
        torch.Size([1, 2, 9, 9])
        >>> layer(torch.zeros(1, 4, 5, 5), output_size=(10, 10)).shape
        torch.Size([1, 2, 10, 10])
    """

    n_dims = 2
    ordinary = nn.ConvTranspose2d
    is_transposed = True
    geometry_names = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "output_padding",
        "groups",
        "dilation",
        "padding_mode",
    )

    if TYPE_CHECKING:
        padding: tuple[int, ...]
        output_padding: tuple[int, ...]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        with_r: bool = False,
    ) -> None:
        super().__init__(
            {
                "in_channels": in_channels,
                "out_channels": out_channels,
                "kernel_size": kernel_size,
                "stride": stride,
                "padding": padding,
                "output_padding": output_padding,
                "groups": groups,
                "dilation": dilation,
                "padding_mode": padding_mode,
            },
            bias=bias,
            with_r=with_r,
            device=device,
            dtype=dtype,
        )

    # torch.jit.script reads these annotations and supports no newer syntax.
    def forward(self, x: Tensor, output_size: Optional[List[int]] = None) -> Tensor:  # noqa: UP006, UP045
        """Apply the transposed convolution to data and coordinates.

        Args:
            x: (N, in_channels, H, W) or (in_channels, H, W), floating point.
            output_size: spatial size or whole shape of the output, if `stride` leaves a choice;
                overrides `output_padding`.

        Returns:
            A tensor with the shape, type and memory format that the ordinary layer returns.

        Raises:
            TypeError: `x` is not floating point.
            ValueError: `x` has the wrong number of dimensions or data channels, or no
                `output_padding` gives `output_size`.
        """
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            if output_size is not None:
                raise ValueError(
                    "output_size is not supported in torch.jit.script: set the layer's "
                    "output_padding instead"
                )
            return self._scripted(x)
        else:
            check_spectral_norm(self)
            return self._output(x, output_size)

    def data_response(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """The part of the output that depends on `x`: its convolution with `weight` only."""
        self._check_input(x)
        return self._convolve(x, self.weight, None, self.groups, output_size)

    def where_map(self, *spatial_size: int, output_size: Sequence[int] | None = None) -> Tensor:
        """The part of the output that does not depend on the data.

        This is the convolution of the coordinates with `coord_weight`, plus the bias.

        Args:
            *spatial_size: (H, W) of the layer's input.
            output_size: as in `forward`.

        Returns:
            (out_channels, *output spatial size), differentiable.
        """
        return self._with_bias(self._coordinate_response(spatial_size, output_size))

    def _convolve(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        groups: int,
        *options: Any,
    ) -> Tensor:
        extra = self.output_padding
        output_size = options[0] if options else None
        if output_size is not None:
            extra = self._output_padding_for(tuple(x.shape[-2:]), tuple(output_size))
        return F.conv_transpose2d(
            x, weight, bias, self.stride, self.padding, extra, groups, self.dilation
        )

    def _output_padding_for(
        self, input_size: tuple[int, ...], output_size: tuple[int, ...]
    ) -> tuple[int, ...]:
        least = tuple(
            (n - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1
            for n, stride, padding, dilation, kernel in zip(
                input_size, self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        )
        most = tuple(n + stride - 1 for n, stride in zip(least, self.stride, strict=True))
        wanted = output_size[-2:]
        if not all(a <= w <= b for a, w, b in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"output_size {output_size} is impossible for an input of {input_size}: "
                f"output_size must be from {least} to {most}"
            )
        return tuple(w - a for a, w in zip(least, wanted, strict=True))

    def _coord_weight_shape(self) -> tuple[int, ...]:
        return (self.n_coords, self.out_channels, *self.kernel_size)

    def _joint_shape(self) -> tuple[int, ...]:
        joint_channels = self.in_channels + self.groups * self.n_coords
        return (joint_channels, self.out_channels // self.groups, *self.kernel_size)

    def _split(self, joint: Tensor) -> tuple[Tensor, Tensor]:
        # The input channels of each group are its data channels, then all coordinates.
        by_group = joint.view(self.groups, -1, *joint.shape[1:])
        weight, coord_weight = by_group.tensor_split([self.in_channels // self.groups], dim=1)
        return weight.flatten(0, 1), coord_weight.transpose(0, 1).flatten(1, 2)
