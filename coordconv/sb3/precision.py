"""bfloat16 for trunks, emulated on processors without bfloat16 instructions.

In bfloat16, the trunk's convolutions and matrix products take operands of 8 significant bits, sum
in float32, and round the result. This halves the memory, and on processors with the instructions
also the time. `torch.autocast` decides for each operation, so it works for any extractor, including
a user's own, on CPU and CUDA. Weights, heads and everything after them stay float32.

On a processor without these instructions, torch's bfloat16 convolutions are about ten times as slow
as float32. There, the operands are rounded and multiplied in float32, which gives the sums that the
instructions compute, and the result is rounded: the same arithmetic up to the order of sums, at
about nine tenths of the speed of float32.
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
    """Within this context, products on this type of device have bfloat16 operands."""
    emulated = EmulatedProducts() if is_emulated(device_type) else nullcontext()
    with torch.autocast(device_type, torch.bfloat16), emulated:
        yield


@cache
def is_emulated(device_type: str) -> bool:
    """Whether bfloat16 products are emulated, because they are slower than float32 products here.

    The first call measures this, in a few milliseconds, independently of the processor's name.
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
    """A warning about a precision on this machine, on one line; None if there is nothing to say."""
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
        "use --precision float32 unless you want to reproduce a bfloat16 run"
    )


# Operations of image networks that `torch.autocast` runs in lower precision.
PRODUCTS = frozenset(
    {
        torch.conv1d,
        torch.conv2d,
        torch.conv3d,
        torch.conv_transpose1d,
        torch.conv_transpose2d,
        torch.conv_transpose3d,
        F.linear,
        torch.matmul,
        torch.mm,
        torch.bmm,
        torch.addmm,
        torch.baddbmm,
        Tensor.matmul,
        Tensor.mm,
        Tensor.bmm,
        Tensor.addmm,
        Tensor.baddbmm,
        Tensor.__matmul__,
    }
)


class EmulatedProducts(TorchFunctionMode):
    """Mode in which products are computed in float32 with operands and results in bfloat16.

    Gradients are rounded at the same places.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Intercept one operation of torch."""
        kwargs = kwargs or {}
        if func not in PRODUCTS:
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            exact = [_rounded(value) for value in args]
            result = func(*exact, **{name: _rounded(value) for name, value in kwargs.items()})
        return result.to(torch.bfloat16) if result.dtype == torch.float32 else result


def _rounded(value: Any) -> Any:
    """A float32 copy rounded to bfloat16 values; other values are returned unchanged."""
    if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.bfloat16):
        return value.to(torch.bfloat16).float()
    return value
