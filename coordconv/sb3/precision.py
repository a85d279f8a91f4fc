"""bfloat16: what it is for, where it is real, and the same arithmetic where it is not.

In bfloat16 the trunk's convolutions and matrix products take operands of 8 significant bits, add up
in float32, and round what comes out: half the bytes, and on processors that have the instructions
half the time. `torch.autocast` decides operation by operation, so that it holds for any extractor,
somebody's own included, and on CPU and CUDA alike. Weights, heads and everything behind them stay
float32.

On a processor without those instructions torch's own bfloat16 convolutions are some ten times as
slow as float32's. There the operands are rounded and multiplied in float32, whose sums are the ones
that the instructions compute, and the result is rounded: the same arithmetic up to the order of
sums, at some nine tenths of float32's speed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Precision = Literal["float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
DTYPES: Mapping[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@contextmanager
def bfloat16(device_type: str) -> Iterator[None]:
    """Within this, products are taken of bfloat16 operands, on this kind of device."""
    emulated = EmulatedProducts() if is_emulated(device_type) else nullcontext()
    with torch.autocast(device_type, torch.bfloat16), emulated:
        yield


@cache
def is_emulated(device_type: str) -> bool:
    """Whether this machine has no bfloat16 products worth the name: slower ones than float32's.

    Measured, some milliseconds at the first call; what a processor calls itself decides nothing.
    """
    if device_type != "cpu":
        return False
    image, kernel = torch.rand(8, 4, 84, 84), torch.rand(32, 4, 8, 8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        exact = _best_seconds(lambda: F.conv2d(image, kernel, stride=4))
        image, kernel = image.bfloat16(), kernel.bfloat16()
        rounded = _best_seconds(lambda: F.conv2d(image, kernel, stride=4))
    finally:
        torch.set_num_threads(threads)
    return rounded > exact


def _best_seconds(product: Callable[[], Tensor]) -> float:
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        product()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def caveat(precision: Precision, device: torch.device) -> str | None:
    """What somebody who asks for a precision should know of this machine first, in one line."""
    if precision == "float32":
        return None
    if device.type == "cuda":
        emulates = not torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        emulates = is_emulated(device.type)
    if not emulates:
        return None
    return (
        "this machine only emulates bfloat16, slower than float32: "
        "use --precision float32 unless you mean to repeat a bfloat16 run"
    )


# What `torch.autocast` runs in the lower precision, of what a network of images is made of.
PRODUCTS = frozenset(
    {
        torch.conv1d, torch.conv2d, torch.conv3d,
        torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d,
        F.linear, torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm,
        Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.addmm, Tensor.baddbmm, Tensor.__matmul__,
    }
)  # fmt: skip


class EmulatedProducts(TorchFunctionMode):
    """Within this, products round their operands and results to bfloat16 and are taken in float32.

    Gradients likewise: what flows back is rounded at the same places.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation of torch."""
        kwargs = kwargs or {}
        if func not in PRODUCTS:
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            exact = [_rounded(value) for value in args]
            result = func(*exact, **{name: _rounded(value) for name, value in kwargs.items()})
        return result.to(torch.bfloat16) if result.dtype == torch.float32 else result


def _rounded(value: Any) -> Any:
    """A float32 copy that holds bfloat16 numbers; what is no such tensor as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.bfloat16):
        return value.to(torch.bfloat16).float()
    return value
