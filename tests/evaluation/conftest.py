"""One small trained run, shared by the tests that only read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.training import train
from records.folder import RunFolder
from tests.agents.conftest import small_config


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Trains a run of a few steps and returns its folder."""

    def make(name: str = "run", **changes: Any) -> Path:
        config = small_config(**{"steps": 16, **changes})
        train(config, RunFolder.create(tmp_path / name, config))
        return tmp_path / name

    return make
