"""What a run folder says of itself that is not so, or that this suite does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import UserError
from records.ancestor import ANCESTORS, ancestors_in
from records.config import ForeignConfig
from records.folder import RunFolder
from tests.agents.conftest import small_config


def test_all_that_must_be_put_back_is_named_and_nothing_else(tmp_path: Path) -> None:
    config = small_config(steps=64)
    folder = RunFolder.create(tmp_path / "run", config)
    changed = config.replaced(steps=128, n_envs=8, gamma=0.5, threads=2)
    with pytest.raises(UserError, match=r"has n_envs 8, gamma 0\.5, but .* with n_envs 1, gamma 0"):
        folder.note_resume(changed)
    folder.note_resume(config.replaced(steps=128, threads=2))


@pytest.mark.parametrize(
    ("n_envs", "n_steps", "environments", "together"),
    [(4, 32, 4, 128), (None, 32, 1, 1), (10**9, 32, 1, 1), ("many", 32, 1, 1)],
)
def test_a_run_of_an_algorithm_that_is_not_here_is_read_with_settings_of_any_kind(
    n_envs: object, n_steps: int, environments: int, together: int
) -> None:
    config = ForeignConfig.model_validate(
        {
            "game": "Pong",
            "algo": "somebodys.own:ALGO",
            "steps": 64,
            "n_envs": n_envs,
            "n_steps": n_steps,
        }
    )
    assert config.values()["n_envs"] == n_envs
    assert config.environments == environments
    assert config.steps_of_iteration == together


@pytest.mark.parametrize("change", [{"step": "16"}, {"path": 3}, {"policy_sha256": None}])
def test_an_ancestor_of_the_wrong_types_is_damage(change: dict[str, object]) -> None:
    entry = {"step": 16, "path": "runs/a", "policy_sha256": "0", "config": {}, **change}
    with pytest.raises(UserError, match=r"provenance\.json is damaged: .* has the wrong type"):
        ancestors_in({ANCESTORS: [entry]}, Path("provenance.json"))
