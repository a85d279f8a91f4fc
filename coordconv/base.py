"""What the CoordConv layers share: a convolution plus a where-map (Liu et al. 2018).

The paper's layer convolves `[x; i; j]`: the data and channels that hold each pixel's own
coordinates. Convolution is linear, so with a kernel W for the data and V for the coordinates c

    conv([x; c], [W; V]) + b  =  conv(x, W) + (conv(c, V) + b)

and the second term is the same for every image: a learned map for each output channel that says
where it answers. The layers here compute exactly this, once a forward pass for the whole batch,
instead of concatenating. `coordconv.concatenating` is the paper's form (arXiv:1807.03247); both
agree in outputs and in every gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from coordconv.broadcast import over_batch
from coordconv.folded import FoldedCoordConv


class CoordConvNd(nn.Module):
    """What all CoordConv layers share; build one of its subclasses.

    Attributes:
        weight: the data kernel, of the shape that the ordinary layer's `weight` has.
        coord_weight: the coordinate kernel. Its input channels are the coordinates along each
            spatial dimension in order (2d: i along the height, j along the width), then r.
        bias: (out_channels,) or None.
    """

    # Deliberately no subclass of nn.Conv2d. Stable-Baselines3's orthogonal initialisation, like
    # many others, redraws the `weight` of everything that isinstance calls an nn.Conv2d, and would
    # undo the joint initialisation of the two kernels.

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
    weight: nn.Parameter
    coord_weight: nn.Parameter
    bias: nn.Parameter | None
    # What the coordinates add, by what it depends on beside the weights; of `constant_where_maps`.
    kept_responses: dict[tuple[Any, ...], Tensor] | None = None

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
        # The ordinary layer, without memory or random numbers, checks the rest of the arguments
        # and knows what they come to.
        ordinary: Any = self.ordinary(**geometry, bias=bias, device="meta")
        for name in self.geometry_names:
            setattr(self, name, getattr(ordinary, name))
        self.with_r = with_r
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
                wanted = "an integer" if n_values == 1 else f"an integer or {n_values} of them"
                raise ValueError(
                    f"{type(self).__name__}: {name} must be {wanted}, at least {least}, "
                    f"got {value!r}"
                )

    @property
    def n_coords(self) -> int:
        """How many channels `coordinates` returns."""
        return self.n_dims + self.with_r

    def coordinates(
        self, size: tuple[int, ...], *, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """The extra input channels: coordinates 2·index/(n-1) - 1, from -1 to 1 in each dimension.

        This is the extension point: a subclass that wants other extra channels overrides this
        method, and `n_coords` if their number differs (`n_coords` is read by the constructor).
        Initialisation, where-map, folding and diagnostics all follow. The result must depend on
        nothing but the arguments and the layer.

        Args:
            size: spatial size of the input. A dimension of size 1 has coordinate 0.
            device: where to create them.
            dtype: of the result. Half precisions are rounded once, from float32.

        Returns:
            (n_coords, *size). With `with_r` the last is the distance from the centre, unscaled:
            √(i² + j²) reaches √2 in the corners of an image.
        """
        exact = torch.promote_types(dtype, torch.float32)
        axes = []
        for n in size:
            # 2·index - (n-1) is an integer: one rounding, symmetric, and exact at centre and ends.
            doubled = torch.arange(1 - n, n, 2, device=device, dtype=exact)
            axes.append(doubled / max(n - 1, 1))
        channels = torch.stack(torch.meshgrid(*axes, indexing="ij"))
        if self.with_r:
            radius = channels.square().sum(dim=0, keepdim=True).sqrt()
            channels = torch.cat([channels, radius])
        return channels.to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of data and coordinates.

        Args:
            x: (N, in_channels, *spatial) or (in_channels, *spatial), floating point.

        Returns:
            What the ordinary layer returns in shape, type and memory format.

        Raises:
            TypeError: `x` is not floating point.
            ValueError: `x` has another number of dimensions or of data channels.
        """
        response, added = self.terms(x)
        return response + over_batch(added, response)

    def terms(self, x: Tensor, *options: Any) -> tuple[Tensor, Tensor]:
        """The two summands of the output: the ordinary layer's own, and what coordinates add.

        The first is computed by the very call that the ordinary layer makes, bias included, so
        that coordinates of no weight leave its output as it was to the last bit. The gradient of
        the bias goes with the second, whose sum over the batch has to be taken anyway.

        Args:
            x: as in `forward`.
            *options: what `forward` takes beside it.

        Returns:
            (N, C, ...) as the output, and (C, ...).
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
        added = self._coordinate_response(x.shape[-self.n_dims :], *options)
        if bias is None:
            return self._convolve(x, self.weight, None, self.groups, *options), added
        response = self._convolve(x, self.weight, bias.detach(), self.groups, *options)
        # Zero, with the gradient of the bias; autocast leaves it in the parameter's own type.
        zero = (bias - bias.detach()).to(added.dtype)
        return response, added + zero.view(-1, *(1,) * self.n_dims)

    def data_response(self, x: Tensor) -> Tensor:
        """The part of the output that depends on `x`: its convolution with `weight` alone."""
        self._check_input(x)
        return self._convolve(x, self.weight, None, self.groups)

    def where_map(self, *spatial_size: int) -> Tensor:
        """The part of the output that does not: coordinates convolved with `coord_weight`, + bias.

        Args:
            *spatial_size: of the layer's input, as in `where_map(84, 84)`.

        Returns:
            (out_channels, *output spatial size), differentiable.
        """
        return self._with_bias(self._coordinate_response(spatial_size))

    def _with_bias(self, one_map: Tensor) -> Tensor:
        return one_map if self.bias is None else one_map + self.bias.view(-1, *(1,) * self.n_dims)

    def _convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, *options: Any
    ) -> Tensor:
        raise NotImplementedError

    def _coordinate_response(self, spatial_size: tuple[int, ...], *options: Any) -> Tensor:
        """(out_channels, *output spatial size): the convolution of the coordinates alone."""
        if len(spatial_size) != self.n_dims:
            raise ValueError(
                f"{type(self).__name__}'s input has {self.n_dims} spatial dimensions, "
                f"got the size {tuple(spatial_size)}"
            )
        kernel = self.coord_weight
        channels = self.coordinates(spatial_size, device=kernel.device, dtype=kernel.dtype)
        return self._convolve(channels, kernel, None, 1, *options)

    def _check_input(self, x: Tensor) -> None:
        name = type(self).__name__
        if not x.is_floating_point():
            raise TypeError(
                f"{name} needs a floating-point input, got {x.dtype}: "
                "convert it first; for bytes of an image x.float() / 255"
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
                "data channels only; the coordinates are added by the layer; "
                f"build {name}({channels}, ...)"
            )

    def fold(self, size: Sequence[int]) -> FoldedCoordConv:
        """The frozen form for inference on inputs of one spatial size, with equal outputs.

        The where-map becomes a constant. The copy shares nothing with the layer and does not
        follow its training: fold again after that.

        Args:
            size: spatial size of the inputs, as in `layer.fold((84, 84))`.
        """
        geometry = {name: getattr(self, name) for name in self.geometry_names}
        ordinary = self.ordinary(**geometry, bias=self.bias is not None, device="meta")
        for name, parameter in self.named_parameters(recurse=False):
            if name != "coord_weight":
                frozen = nn.Parameter(parameter.detach().clone(), requires_grad=False)
                setattr(ordinary, name, frozen)
        with torch.no_grad():
            added = self._coordinate_response(tuple(size))
        return FoldedCoordConv(ordinary, added, tuple(size), type(self).__name__)

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
        """
        weight, coord_weight = self._split(draw(self.weight.new_empty(self._joint_shape())))
        self.weight.copy_(weight)
        self.coord_weight.copy_(coord_weight)

    def _coord_weight_shape(self) -> tuple[int, ...]:
        raise NotImplementedError

    def _joint_shape(self) -> tuple[int, ...]:
        """Shape of the concatenating layer's weight."""
        raise NotImplementedError

    def _split(self, joint: Tensor) -> tuple[Tensor, Tensor]:
        """The concatenating layer's weight as (weight, coord_weight)."""
        raise NotImplementedError

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The ordinary layer's state is that of a CoordConv whose coordinates do not matter yet.
        weight = state_dict.get(prefix + "weight")
        if weight is not None:
            zeros = weight.new_zeros(self.coord_weight.shape)
            state_dict.setdefault(prefix + "coord_weight", zeros)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def __getstate__(self) -> dict[str, Any]:
        # A copy is not inside its model's `constant_where_maps`.
        return {name: value for name, value in vars(self).items() if name != "kept_responses"}

    def extra_repr(self) -> str:
        """As torch's convolutions show themselves."""
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
