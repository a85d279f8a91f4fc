"""Which library multiplies float32 matrices: measured on the spot, and only if it stays float32.

torch multiplies float32 matrices with the BLAS it was built with, MKL on most PCs, and on some
processors oneDNN, which torch carries too, multiplies them twice as fast. torch reaches it through
a setting of the process that is named for bfloat16 (`torch.backends.mkldnn.matmul.fp32_precision`):
oneDNN then *may* use bfloat16 units. Without such units for float32 operands it computes in float32
all the same. Whether it does is seen in the product, so that is what is looked at; neither the
processor's name nor its flags decide anything.
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
# 256 × 3872. 64 observations lie between what acting (4 to 16) and learning (80 to 256) see.
OUTPUTS, INPUTS, ROWS = 512, 3136, 64
ROUNDS = 5
# Below this the choice could fall differently from one start to the next, and with it the last
# bits of a run that a seed is to repeat.
WORTHWHILE = 1.4
# Largest error, relative to the product of the absolute values: float32 gives some 4e-8 on these
# shapes, operands rounded to bfloat16 (8 bits) 3e-4 and to TF32 (11 bits) 4e-5.
FLOAT32_ERROR = 2e-6

DEFAULT = "torch's default"
ONEDNN = "oneDNN"


@dataclass(frozen=True)
class Products:
    """What multiplies float32 matrices in this process, and why.

    Attributes:
        taken: `DEFAULT` or `ONEDNN`.
        default_ms: forward and backward pass of a fully connected layer by torch's default.
        onednn_ms: the same by oneDNN; None where this torch has no such setting.
        onednn_error: of oneDNN's product, relative; None likewise.
    """

    taken: str
    default_ms: float
    onednn_ms: float | None = None
    onednn_error: float | None = None

    def __str__(self) -> str:
        """One line for people."""
        if self.onednn_ms is None or self.onednn_error is None:
            return f"{self.taken} (this torch offers no other)"
        if self.onednn_error > FLOAT32_ERROR:
            return f"{self.taken} (oneDNN's are not float32 here: error {self.onednn_error:.0e})"
        speed = self.default_ms / self.onednn_ms
        return f"{self.taken} (oneDNN multiplies at {speed:.2f} times the default's speed)"


@cache
def chosen_products() -> Products:
    """The fastest float32 products of this machine: some tenths of a second at the first call.

    Measured on one thread, whatever the process uses, so that runs of any thread count agree.
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
    """Within this, float32 matrices are multiplied by what `chosen_products` takes.

    The setting is the process's, all threads included, and is put back at the end.
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
    """Milliseconds of the three products of a fully connected layer's forward and backward."""
    start = time.perf_counter()
    gradient = F.linear(x, weight)
    torch.mm(gradient, weight)
    torch.mm(gradient.t(), x)
    return (time.perf_counter() - start) * 1000


def _switch() -> Any:
    """The setting, or None where there is none: torch before 2.9, a build without oneDNN."""
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
