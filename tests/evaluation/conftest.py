"""Small trained runs, a copy for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.agents.conftest import TrainRun, trained_run

__all__ = ["trained_run"]


@pytest.fixture
def make_run(trained_run: TrainRun) -> Callable[..., Path]:
    """Gives the folder of a run of a few steps, which is the test's own."""

    def make(name: str = "run", **changes: Any) -> Path:
        return trained_run(name, **{"steps": 16, **changes})[0].path

    return make
