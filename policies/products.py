"""Choose the library that multiplies float32 matrices, by measuring speed and precision.

torch multiplies float32 matrices with the BLAS that it was built with, MKL on most PCs. On some
processors oneDNN, which torch also contains, multiplies them twice as fast. torch uses it after a
process-wide setting that is named for bfloat16 (`torch.backends.mkldnn.matmul.fp32_precision`):
oneDNN then *may* use bfloat16 units, but without such units for float32 operands it still computes
in float32. The product shows whether it does, so the choice depends on measured products and not on
the processor's name or flags.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# The Nature-CNN's fully connected layer (512 × 3136), nine tenths of its weights; IMPALA's is
# 256 × 3872. 64 observations are between the batches of acting (4 to 16) and learning (80 to 256).
OUTPUTS, INPUTS, ROWS = 512, 3136, 64
ROUNDS = 5
# With a smaller speedup, the choice could vary from one start to the next, and with it the last
# bits of a run that should be reproducible from its seed.
WORTHWHILE = 1.4
# Largest error, relative to the product of the absolute values: float32 gives some 4e-8 on these
# shapes, operands rounded to bfloat16 (8 bits) 3e-4 and to TF32 (11 bits) 4e-5.
FLOAT32_ERROR = 2e-6

DEFAULT = "torch's default"
ONEDNN = "oneDNN"


@dataclass(frozen=True)
class Products:
    """The library that multiplies float32 matrices in this process, and the measurements.

    Attributes:
        taken: `DEFAULT` or `ONEDNN`.
        default_ms: milliseconds of a fully connected layer's products with torch's default.
        onednn_ms: milliseconds with oneDNN; None if this torch has no such setting.
        onednn_error: relative error of oneDNN's product; None if this torch has no such setting.
    """

    taken: str
    default_ms: float
    onednn_ms: float | None = None
    onednn_error: float | None = None

    def __str__(self) -> str:
        """The choice and its reason on one line."""
        if self.onednn_ms is None or self.onednn_error is None:
            return f"{self.taken} (this torch offers no alternative)"
        if self.onednn_error > FLOAT32_ERROR:
            return f"{self.taken} (oneDNN is not float32 here: error {self.onednn_error:.0e})"
        speed = self.default_ms / self.onednn_ms
        return f"{self.taken} (oneDNN multiplies at {speed:.2f} times the default's speed)"


@cache
def chosen_products() -> Products:
    """The fastest float32 products on this machine; the first call measures for tenths of a second.

    Measured on one thread, so that runs with any number of threads agree.
    """
    switch = _switch()
    threads = torch.get_num_threads()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(ROWS, INPUTS, generator=generator)
    weight = torch.randn(OUTPUTS, INPUTS, generator=generator)
    torch.set_num_threads(1)
    try:
        if switch is None:
            return Products(DEFAULT, _layer_ms(x, weight))
        with _onednn(switch, True):
            error = float32_error(x, weight)
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(ROUNDS):
            for onednn in times:
                with _onednn(switch, onednn):
                    times[onednn].append(_layer_ms(x, weight))
    finally:
        torch.set_num_threads(threads)
    default_ms, onednn_ms = min(times[False]), min(times[True])
    fast_and_exact = default_ms >= WORTHWHILE * onednn_ms and error <= FLOAT32_ERROR
    return Products(ONEDNN if fast_and_exact else DEFAULT, default_ms, onednn_ms, error)


@contextmanager
def fast_products() -> Iterator[Products]:
    """Within this context, `chosen_products` multiplies float32 matrices.

    The setting applies to all threads of the process and is restored at the end.
    """
    products = chosen_products()
    switch = _switch()
    if switch is None:
        yield products
        return
    with _onednn(switch, products.taken == ONEDNN):
        yield products


def float32_error(x: Tensor, weight: Tensor) -> float:
    """Largest error of `F.linear(x, weight)`, relative to the product of the absolute values."""
    exact = x.double() @ weight.double().t()
    scale = x.double().abs() @ weight.double().abs().t()
    return float(((F.linear(x, weight).double() - exact).abs() / scale).max())


def _layer_ms(x: Tensor, weight: Tensor) -> float:
    """Milliseconds for a fully connected layer's three products, forward and backward."""
    start = time.perf_counter()
    gradient = F.linear(x, weight)
    torch.mm(gradient, weight)
    torch.mm(gradient.t(), x)
    return (time.perf_counter() - start) * 1000


def _switch() -> Any:
    """The setting; None if there is none, as in torch before 2.9 or a build without oneDNN."""
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return getattr(torch.backends.mkldnn, "matmul", None) if has_onednn else None


@contextmanager
def _onednn(switch: Any, on: bool) -> Iterator[None]:
    before = switch.fp32_precision
    if on:
        switch.fp32_precision = "bf16"
    try:
        yield
    finally:
        switch.fp32_precision = before
