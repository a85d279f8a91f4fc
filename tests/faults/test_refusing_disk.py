"""What a file system refuses, or somebody changed by hand, is a line that names the place."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.training import train
from cli.errors import UserError
from files.durable import Appender, CannotWriteError, temporary_name
from files.lock import exclusive, is_held
from files.untrusted import require_file, sealed
from records.checkpoint import read_state
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from records.layers import write_where_maps
from records.results_folder import make_results_folder

from .conftest import reseal


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_system_without_locks_is_named_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with exclusive(tmp_path):
        pass
    monkeypatch.setattr(fcntl, "flock", failing(errno.ENOLCK))
    with pytest.raises(UserError, match=r"cannot lock .*No locks available"), exclusive(tmp_path):
        pytest.fail("it was not locked")
    assert not is_held(tmp_path)


def test_rows_that_the_disk_does_not_confirm_are_not_taken_for_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Appender(tmp_path / "episodes.csv", new=True)
    file.append(b"row\n")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(CannotWriteError, match=r"cannot write .*episodes\.csv: Input/output error"):
        file.sync()
    file.close()
    file.close()


def test_a_checkpoint_that_cannot_be_set_aside_stops_training_and_stays(
    broken: RunFolder, finished: tuple[RunFolder, RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [path.name for path in list_checkpoints(broken)]
    broken.done_file.unlink()
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if Path(target).name.endswith(".old"):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    longer = finished[1].replaced(steps=832)
    with pytest.raises(UserError, match=r"checkpoints/.*Permission denied"):
        train(longer, broken, resume=True)
    assert [path.name for path in list_checkpoints(broken)][: len(before)] == before


def test_leftovers_that_cannot_be_removed_are_named(
    broken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = temporary_name(broken.config_file)
    leftover.write_text("{")
    monkeypatch.setattr(Path, "unlink", failing(errno.EROFS))
    with pytest.raises(CannotWriteError, match="Read-only file system"):
        broken.clear_leftovers()


def test_a_file_in_place_of_a_folder_is_named_and_kept(
    broken: RunFolder, finished: tuple[RunFolder, RunConfig], tmp_path: Path
) -> None:
    for path in broken.where_maps.iterdir():
        path.unlink()
    broken.where_maps.rmdir()
    broken.where_maps.write_text("mine")
    with pytest.raises(CannotWriteError, match="where_maps"):
        write_where_maps(broken, 1, {"0": np.zeros((1, 2, 2), np.float32)})
    assert broken.where_maps.read_text() == "mine"
    (tmp_path / "out").write_text("mine")
    with pytest.raises(CannotWriteError, match="out"):
        make_results_folder(broken, finished[1], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_name_that_no_file_can_have_is_a_line() -> None:
    with pytest.raises(UserError, match="cannot read 'a"):
        require_file(Path("a\0b"))
    with pytest.raises(UserError, match="File name too long"):
        require_file(Path("a" * 300))
    with pytest.raises(UserError, match=r"cannot read a{200}: File name too long"):
        RunFolder.open(Path("a" * 300))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"games": -1}, "-1 is not a count"),
        ({"games": 1.5}, "1.5 is not a count"),
        ({"seconds": "long"}, "could not convert"),
        ({"score": "high"}, "could not convert"),
        ({"rng": 3}, "not iterable"),
        ({"step": 7}, "belongs to step 7, not to 800"),
    ],
)
def test_a_forged_state_is_refused(broken: RunFolder, change: dict[str, Any], message: str) -> None:
    checkpoint = list_checkpoints(broken)[-1]
    reseal(checkpoint, lambda state: state.update(change))
    with pytest.raises(UserError, match=message):
        read_state(checkpoint)


def test_forged_step_counts_of_the_optimizer_are_refused(
    broken: RunFolder, finished: tuple[RunFolder, RunConfig]
) -> None:
    broken.done_file.unlink()
    for checkpoint in list_checkpoints(broken):
        reseal(checkpoint, lambda state: state.update(optimizer_steps={"0": "many"}))
    with pytest.raises(UserError, match=r"state\.json is damaged: a step count is not a number"):
        train(finished[1], broken, resume=True)


@pytest.mark.parametrize("ancestors", [3, [3], [{"step": 1}], [{"step": "1", "path": "", "x": 1}]])
def test_a_forged_ancestor_is_refused(broken: RunFolder, ancestors: object) -> None:
    record = json.loads(broken.provenance_file.read_text())
    record.pop("sha256", None)
    broken.provenance_file.write_text(json.dumps(sealed({**record, "ancestors": ancestors})))
    with pytest.raises(UserError, match=r"provenance\.json is damaged: an ancestor is not valid"):
        broken.ancestors()
