"""Which checkpoint is used while training goes on beside."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import UserError
from records import kept_checkpoints
from records.checkpoint import Checkpoint
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint
from tests.agents.conftest import TrainRun, trained_run

__all__ = ["trained_run"]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["newest", "best"])
def test_one_that_is_pruned_before_it_is_read_is_chosen_anew(
    trained_run: TrainRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    which: str,
) -> None:
    folder, _, _ = trained_run(steps=64, checkpoint_every=32)
    later = (folder.checkpoints / "64").rename(folder.path / "later")
    capsys.readouterr()

    def opened(path: Path, *, to_continue: bool) -> Checkpoint:
        if later.exists():  # meanwhile training writes one and prunes what it had
            later.rename(folder.checkpoints / "64")
            path.rename(path.with_name(f".{path.name}.old"))
        return Checkpoint(path, to_continue=to_continue)

    monkeypatch.setattr(kept_checkpoints, "Checkpoint", opened)
    assert open_checkpoint(folder, which).state.step == 64
    assert capsys.readouterr().err == "", "nothing is damaged"


def test_a_finished_run_without_checkpoints_is_not_sent_to_train_longer() -> None:
    kept = Path("docs/results/atari/runs/a2c/Qbert/nature/seed-1")
    folder, _ = RunFolder.open(kept)
    with pytest.raises(UserError, match=r"is finished but has no checkpoints.*name the original"):
        open_checkpoint(folder)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_never_the_best_and_stops_no_training(
    trained_run: TrainRun,
) -> None:
    folder, _, _ = trained_run(steps=64, checkpoint_every=32)
    (folder.checkpoints / "32" / "state.json").write_text("{}")
    kept_checkpoints._prune(folder, newest=1)
    assert [path.name for path in list_checkpoints(folder)] == ["64"]


def test_checkpoints_that_cannot_be_listed_are_not_taken_for_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    folder = RunFolder(tmp_path)
    assert list_checkpoints(folder) == []
    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(UserError, match=r"cannot read .*checkpoints: Permission denied"):
        list_checkpoints(folder)
