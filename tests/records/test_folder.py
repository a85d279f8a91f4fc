"""What is said when a run's configuration is not the one it was begun with."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import UserError
from records.folder import RunFolder
from tests.agents.conftest import small_config


def test_all_that_must_be_put_back_is_named_and_nothing_else(tmp_path: Path) -> None:
    config = small_config(steps=64)
    folder = RunFolder.create(tmp_path / "run", config)
    changed = config.replaced(steps=128, n_envs=8, gamma=0.5, threads=2)
    with pytest.raises(UserError, match=r"has n_envs 8, gamma 0\.5, but .* with n_envs 2, gamma 0"):
        folder.note_resume(changed)
    folder.note_resume(config.replaced(steps=128, threads=2))
