"""The base class of all CoordConv layers: a convolution plus a where-map (Liu et al. 2018).

The paper's layer convolves `[x; i; j]`: the data and channels that contain each pixel's
coordinates. Convolution is linear, so with a kernel W for the data and V for the coordinates c

    conv([x; c], [W; V]) + b  =  conv(x, W) + (conv(c, V) + b)

and the second term is the same for every image: a learned map for each output channel that shows
where in the image it responds. Instead of concatenating, the layers here compute this map once per
forward pass for the whole batch. `coordconv.concatenating` is the paper's form (arXiv:1807.03247);
both agree in outputs and in every gradient.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from coordconv.broadcast import over_batch
from coordconv.folded import FoldedCoordConv, carry_over, frozen_copy
from coordconv.hooks import computed_weights, has_hooks
from coordconv.initialization import JointlyDrawn
from coordconv.modes import making_constants
from coordconv.pixels import pixel_coordinates
from coordconv.scripted import scripted_layer
from coordconv.tracing import as_one_step, is_jit_tracing, is_proxy, is_recorded

# torch.fx records a call of this function as one step.
torch.fx.wrap("pixel_coordinates")

# The module of torch whose fuse_conv_bn_eval assigns a scaled `weight` to a copy of a layer.
FUSION = "torch.nn.utils.fusion"


def _is_fusing(frame: FrameType) -> bool:
    """Whether the frame is in torch's fuse_conv_bn_eval, which assigns to a copy of a layer."""
    return frame.f_globals.get("__name__") == FUSION


class CoordConvNd(JointlyDrawn):
    """Base class of all CoordConv layers. Use one of its subclasses.

    Attributes:
        weight: the data kernel, with the shape of the ordinary layer's `weight`.
        coord_weight: the coordinate kernel. Its input channels are the coordinates along each
            spatial dimension in order (2d: i along the height, j along the width), then r.
        bias: (out_channels,) or None.
    """

    # Deliberately not a subclass of nn.Conv2d: Stable-Baselines3's orthogonal initialization, like
    # many others, redraws the `weight` of every instance of nn.Conv2d, and would undo the joint
    # initialization of the two kernels.

    if TYPE_CHECKING:  # torch.jit.script would read annotations, but supports few of these types
        n_dims: ClassVar[int]
        ordinary: ClassVar[type[nn.Module]]
        geometry_names: ClassVar[tuple[str, ...]]
        in_channels: int
        out_channels: int
        kernel_size: tuple[int, ...]
        stride: tuple[int, ...]
        padding: str | tuple[int, ...]
        dilation: tuple[int, ...]
        groups: int
        padding_mode: str
        kept_responses: dict[tuple[Any, ...], Tensor] | None
    is_transposed = False
    # Cache of `constant_where_maps`: coordinate responses by input size, options and dtype.
    kept_responses = None
    __jit_unused_properties__ = ("n_coords",)

    def __init__(
        self,
        geometry: Mapping[str, Any],
        *,
        bias: bool,
        with_r: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self._check_geometry(geometry)
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype must be a floating-point type, got {dtype}")
        # An ordinary layer on the meta device, which needs no memory and draws no random numbers,
        # checks and normalizes the other arguments.
        ordinary: Any = self.ordinary(**geometry, bias=bias, device="meta")
        for name in self.geometry_names:
            setattr(self, name, getattr(ordinary, name))
        self.with_r = with_r
        # For torch.jit.script, which does not see class attributes and needs lists: whether
        # `coordinates` is not overridden, and the geometry. Padding is either zeros on both sides
        # or a border.
        self._has_pixel_coordinates = type(self).coordinates is CoordConvNd.coordinates
        self._transposed = self.is_transposed
        self._strides, self._dilations = list(self.stride), list(self.dilation)
        by_zeros = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        none = [0] * self.n_dims
        self._zeros_around = [int(n) for n in self.padding] if by_zeros else none
        self._border_around = none * 2 if by_zeros else self._border()
        self._output_padding = list(getattr(self, "output_padding", none))
        new = partial(torch.empty, device=device, dtype=dtype)
        self.weight = nn.Parameter(new(ordinary.weight.shape))
        self.coord_weight = nn.Parameter(new(self._coord_weight_shape()))
        self.register_parameter("bias", nn.Parameter(new(self.out_channels)) if bias else None)
        self.reset_parameters()

    def _check_geometry(self, geometry: Mapping[str, Any]) -> None:
        for name, value in geometry.items():
            if isinstance(value, str):
                continue
            per_channel = name in ("in_channels", "out_channels", "groups")
            n_values = 1 if per_channel else self.n_dims
            values = tuple(value) if isinstance(value, Iterable) else (value,) * n_values
            least = 0 if "padding" in name else 1
            if len(values) != n_values or any(v < least for v in values):
                wanted = "an integer" if n_values == 1 else f"an integer or {n_values} integers"
                raise ValueError(
                    f"{type(self).__name__}: {name} must be {wanted}, at least {least}, "
                    f"got {value!r}"
                )

    @property
    def n_coords(self) -> int:
        """The number of channels that `coordinates` returns."""
        return self.n_dims + self.with_r

    def coordinates(
        self, size: tuple[int, ...], *, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """The extra input channels: coordinates 2·index/(n-1) - 1, from -1 to 1 in each dimension.

        Override this method in a subclass to use other extra channels, and `n_coords` if their
        number differs (the constructor reads `n_coords`). Initialization, where-map, folding and
        diagnostics then use these channels. The result must depend only on the arguments and the
        layer.

        Args:
            size: spatial size of the input. A dimension of size 1 has coordinate 0.
            device: device of the result.
            dtype: type of the result. Half precisions are rounded once, from float32.

        Returns:
            (n_coords, *size). With `with_r` the last channel is the distance from the center,
            unscaled: √(i² + j²) reaches √2 in the corners of an image.
        """
        return pixel_coordinates(size, self.with_r, device, dtype)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the convolution to data and coordinates.

        Args:
            x: (N, in_channels, *spatial) or (in_channels, *spatial), floating point.

        Returns:
            A tensor with the shape, type and memory format that the ordinary layer returns.

        Raises:
            TypeError: `x` is not floating point.
            ValueError: `x` has the wrong number of dimensions or data channels.
        """
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return self._scripted(x)
        else:
            return self._output(x)

    def _output(self, x: Tensor, *options: Any) -> Tensor:
        if is_proxy(x):
            step: Tensor | None = as_one_step(self, x, *options)
            if step is not None:
                return step
        response, added = self.terms(x, *options)
        return response + over_batch(added, response)

    def _scripted(self, x: Tensor) -> Tensor:
        if not self._has_pixel_coordinates:
            raise ValueError(
                "torch.jit.script does not support a subclass's own coordinates: use "
                "torch.jit.trace, or fold the layer first"
            )
        return scripted_layer(
            x,
            self.weight,
            self.coord_weight,
            self.bias,
            self.with_r,
            self._strides,
            self._zeros_around,
            self._border_around,
            self.padding_mode,
            self._dilations,
            self._transposed,
            self._output_padding,
            self.groups,
        )

    def terms(self, x: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
        """The two summands of the output: the ordinary layer's output and the coordinates' part.

        The first is computed by the same call as in the ordinary layer, including the bias, so that
        the output equals the ordinary layer's to the last bit if `coord_weight` is zero. The
        gradient of the bias flows through the second, whose sum over the batch is needed anyway.

        Args:
            x: as in `forward`.
            *options: the other arguments of `forward`.

        Returns:
            (N, C, ...) like the output, and (C, ...).
        """
        self._check_input(x)
        bias = self.bias
        if self.kept_responses is not None and not torch.is_grad_enabled():
            response = self._convolve(x, self.weight, bias, self.groups, *options)
            key = (x.shape[-self.n_dims :], options, response.dtype)
            if key not in self.kept_responses:
                added = self._coordinate_response(x.shape[-self.n_dims :], *options)
                self.kept_responses[key] = added
            return response, self.kept_responses[key]
        if torch.compiler.is_compiling():
            added = self._compiled_response(x, *options)
        else:
            added = self._coordinate_response(x.shape[-self.n_dims :], *options)
        if is_recorded(x) or bias is None or not (torch.is_grad_enabled() and bias.requires_grad):
            return self._convolve(x, self.weight, bias, self.groups, *options), added
        response = self._convolve(x, self.weight, bias.detach(), self.groups, *options)
        # Zero, even if the bias is infinite, with the gradient of the bias. Autocast keeps it in
        # the type of the parameter.
        zero = torch.nan_to_num(bias - bias.detach()).to(added.dtype)
        return response, added + zero.view(-1, *(1,) * self.n_dims)

    def data_response(self, x: Tensor) -> Tensor:
        """The part of the output that depends on `x`: its convolution with `weight` only."""
        self._check_input(x)
        return self._convolve(x, self.weight, None, self.groups)

    def where_map(self, *spatial_size: int) -> Tensor:
        """The part of the output that does not depend on the data.

        This is the convolution of the coordinates with `coord_weight`, plus the bias.

        Args:
            *spatial_size: spatial size of the layer's input, as in `where_map(84, 84)`.

        Returns:
            (out_channels, *output spatial size), differentiable.
        """
        return self._with_bias(self._coordinate_response(spatial_size))

    def _with_bias(self, one_map: Tensor) -> Tensor:
        return one_map if self.bias is None else one_map + self.bias.view(-1, *(1,) * self.n_dims)

    def _border(self) -> list[int]:
        """The padding for F.pad: before and after each dimension, the last dimension first."""
        raise NotImplementedError

    def _convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, *options: Any
    ) -> Tensor:
        raise NotImplementedError

    def _coordinate_response(self, spatial_size: tuple[int, ...], *options: Any) -> Tensor:
        """(out_channels, *output spatial size): the convolution of the coordinates only."""
        if not is_proxy(spatial_size) and len(spatial_size) != self.n_dims:
            raise ValueError(
                f"{type(self).__name__}'s input has {self.n_dims} spatial dimensions, "
                f"got the size {tuple(spatial_size)}"
            )
        kernel = self.coord_weight
        return self._convolve(self._channels(spatial_size), kernel, None, 1, *options)

    def _channels(self, size: tuple[int, ...]) -> Tensor:
        """The coordinates in the type and on the device of their kernel."""
        kernel = self.coord_weight
        channels = self.coordinates(size, device=kernel.device, dtype=kernel.dtype)
        if torch.compiler.is_compiling() or is_jit_tracing():
            # This step is recorded, so that the program can be moved to another device or type.
            channels = channels.type_as(kernel)
        return channels

    def _compiled_response(self, x: Tensor, *options: Any) -> Tensor:
        """`_coordinate_response` for `x` in a form that inductor compiles with symbolic sizes.

        Inductor cannot order the strides of a single image, but can for two
        (github.com/pytorch/pytorch/issues/185510). It also cannot sum gradients of volumes over
        the batch before they are convolved.
        """
        kernel = self.coord_weight
        channels = self._channels(x.shape[-self.n_dims :])
        if x.dim() == 5:
            each = channels.expand(x.shape[0], *channels.shape)
            return self._convolve(each, kernel, None, 1, *options)
        return self._convolve(torch.stack([channels, channels]), kernel, None, 1, *options)[0]

    def _check_input(self, x: Tensor) -> None:
        if is_proxy(x) or is_jit_tracing():
            return  # a trace records no branches
        name = type(self).__name__
        if not x.is_floating_point():
            remedy = "convert it first, for example uint8 images with x.float() / 255"
            if x.is_quantized:
                remedy = "exclude the layer from quantization (layer.qconfig = None)"
            raise TypeError(f"{name} needs a floating-point input, got {x.dtype}: {remedy}")
        if x.is_mkldnn:
            raise TypeError(
                f"{name} needs a dense input, got one in oneDNN's layout: torch.utils.mkldnn "
                "converts only ordinary layers; call .to_dense() on the output of the layer before"
            )
        if x.dim() not in (self.n_dims + 1, self.n_dims + 2):
            spatial = {1: "L", 2: "H, W", 3: "D, H, W"}[self.n_dims]
            raise ValueError(
                f"{name} needs an input of shape (N, {self.in_channels}, {spatial}) or "
                f"({self.in_channels}, {spatial}), got {tuple(x.shape)}"
            )
        channels = x.shape[-self.n_dims - 1]
        if channels != self.in_channels:
            raise ValueError(
                f"expected {self.in_channels} data channels, got {channels}: in_channels counts "
                "only data channels, and the layer adds the coordinates itself; "
                f"build {name}({channels}, ...)"
            )

    def fold(self, size: Sequence[int]) -> FoldedCoordConv:
        """Fold the where-map into a constant, for inference on inputs of one spatial size.

        The folded layer has the same outputs and shares nothing with this layer: fold again after
        further training. If weights are computed (by `torch.nn.utils.parametrize`, `weight_norm`,
        `prune`, …), it uses those of evaluation mode.

        Args:
            size: spatial size of the inputs, as in `layer.fold((84, 84))`.

        Returns:
            A frozen copy of the layer, in the same training mode.

        Raises:
            ValueError: the layer has hooks, which the folded form would lose, or no weights because
                it is on the meta device.
        """
        if has_hooks(self, but_for_weights=True):
            raise ValueError(
                f"this {type(self).__name__} has hooks that its folded form would lose: remove "
                "them first, or use the layer without folding"
            )
        with computed_weights(self), making_constants(self.coord_weight.device):
            geometry = {name: getattr(self, name) for name in self.geometry_names}
            ordinary: Any = self.ordinary(**geometry, bias=self.bias is not None, device="meta")
            ordinary.weight = frozen_copy(self.weight)
            ordinary.bias = None if self.bias is None else frozen_copy(self.bias)
            added = self._coordinate_response(tuple(size))
            if added.is_meta:
                raise ValueError("coord_weight is on the meta device: load its values first")
        folded = FoldedCoordConv(ordinary, added, tuple(size), type(self).__name__)
        carry_over(self, folded)
        return folded.train(self.training)

    def _coord_weight_shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # An ordinary layer's state loads as a CoordConv with a coord_weight of zero. A computed
        # coord_weight has its state under other names.
        weight = state_dict.get(prefix + "weight")
        if weight is not None and "coord_weight" in self._parameters:
            zeros = weight.new_zeros(self.coord_weight.shape)
            state_dict.setdefault(prefix + "coord_weight", zeros)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "weight" and not torch.compiler.is_compiling() and _is_fusing(sys._getframe(1)):
            raise TypeError(
                f"torch's fuse_conv_bn_eval would scale the weight of {type(self).__name__} but "
                "not its coord_weight: use coordconv.fuse_batch_norm(layer, norm)"
            )
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        # A copy is not inside the `constant_where_maps` block of the original.
        return {name: value for name, value in vars(self).items() if name != "kept_responses"}

    def extra_repr(self) -> str:
        """The layer's arguments, in the format of torch's convolutions."""
        shown = ("kernel_size", "stride", "padding", "dilation", "output_padding", "groups")
        no_padding = (0,) * self.n_dims
        defaults = {"dilation": (1,) * self.n_dims, "groups": 1}
        parts = [f"{self.in_channels}, {self.out_channels}"]
        for name in shown:
            value = getattr(self, name, no_padding)
            if value != defaults.get(name, no_padding):
                parts.append(f"{name}={value}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        if self.with_r:
            parts.append("with_r=True")
        return ", ".join(parts)
