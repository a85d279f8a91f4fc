"""Float32 products by the fastest library, as long as they are float32."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from policies import products
from policies.products import (
    DEFAULT,
    ONEDNN,
    Products,
    chosen_products,
    fast_products,
    float32_error,
)

from .conftest import TrainRun

matmul = getattr(torch.backends.mkldnn, "matmul", None)
needs_setting = pytest.mark.skipif(matmul is None, reason="this torch has no such setting")


def measured(monkeypatch: pytest.MonkeyPatch, default: float, onednn: float, error: float) -> Any:
    """The choice where the products take so long and are so wrong."""

    def milliseconds(*_: Any) -> float:
        return onednn if matmul is not None and matmul.fp32_precision == "bf16" else default

    monkeypatch.setattr(products, "_layer_ms", milliseconds)
    monkeypatch.setattr(products, "float32_error", lambda *_: error)
    return chosen_products.__wrapped__()


@needs_setting
@pytest.mark.parametrize(
    ("default", "onednn", "error", "taken"),
    [
        (8.0, 3.5, 5e-8, ONEDNN),
        (8.0, 7.0, 5e-8, DEFAULT),  # no gain that is the same at every start
        (8.0, 12.0, 5e-8, DEFAULT),
        (8.0, 1.0, 3e-4, DEFAULT),  # bfloat16 in disguise, as with AMX
        (8.0, 1.0, 4e-5, DEFAULT),  # TF32
    ],
)
def test_only_what_is_faster_and_exact_is_taken(
    monkeypatch: pytest.MonkeyPatch, default: float, onednn: float, error: float, taken: str
) -> None:
    choice = measured(monkeypatch, default, onednn, error)
    assert choice.taken == taken
    assert taken in str(choice)
    assert matmul is not None
    assert matmul.fp32_precision != "bf16"


def test_the_error_tells_float32_from_less() -> None:
    x, weight = torch.randn(64, 3136), torch.randn(512, 3136)
    assert float32_error(x, weight) < products.FLOAT32_ERROR
    exact = F.linear(x, weight)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "linear", lambda a, b: exact + (a.bfloat16() @ b.bfloat16().t() - exact))
        assert float32_error(x, weight) > products.FLOAT32_ERROR


@contextmanager
def by_onednn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(products, "chosen_products", lambda: Products(ONEDNN, 2.0, 1.0, 5e-8))
    with fast_products() as taken:
        assert taken.taken == ONEDNN
        yield


@needs_setting
def test_the_setting_is_put_back_also_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert matmul is not None
    before = matmul.fp32_precision

    def fails() -> None:
        with by_onednn(monkeypatch):
            assert matmul.fp32_precision == "bf16"
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fails()
    assert matmul.fp32_precision == before


@pytest.mark.slow
def test_a_run_says_which_were_taken(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run()
    record = json.loads(folder.provenance_file.read_text(encoding="utf-8"))
    # The library alone: figures would make every run another one in a report.
    assert record["float32_products"] == chosen_products().taken
    assert record["float32_products"] in (DEFAULT, ONEDNN)


@pytest.mark.slow
@needs_setting
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_a_run_by_the_other_library_learns_the_same(
    train_run: TrainRun, monkeypatch: pytest.MonkeyPatch, algo: str
) -> None:
    """One rollout and its updates: the same weights to floating-point tolerance."""
    if float_error_of_onednn() > products.FLOAT32_ERROR:
        pytest.skip("oneDNN's products are not float32 on this machine")
    steps = 64 if algo == "ppo" else 16
    weights = []
    for taken in (DEFAULT, ONEDNN):
        monkeypatch.setattr(
            products, "chosen_products", lambda taken=taken: Products(taken, 2.0, 1.0, 5e-8)
        )
        folder, _, _ = train_run(f"{algo}-{taken}", algo, steps=steps)
        newest = max(folder.checkpoints.iterdir(), key=lambda path: int(path.name))
        weights.append(load_file(newest / "policy.safetensors"))
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-5)


def float_error_of_onednn() -> float:
    x, weight = torch.randn(64, 3136), torch.randn(512, 3136)
    assert matmul is not None
    before, matmul.fp32_precision = matmul.fp32_precision, "bf16"
    try:
        return float32_error(x, weight)
    finally:
        matmul.fp32_precision = before
