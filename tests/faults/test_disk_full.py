"""A disk that fills costs one clear line: what was whole stays whole, and the run goes on later."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from agents.tensorboard import RunWriter
from agents.training import train
from cli.errors import UserError
from evaluation.record import record_runs
from files.durable import Appender, CannotWriteError, write_durably
from files.events import EventWriter
from files.video import mp4
from records.config import RunConfig
from records.csv_log import CsvLog, read_csv
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint
from records.rows import Episode


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the system says so as it says that a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def full_disk(path: Path, megabytes: int) -> Iterator[Path]:
    """A small file system of its own; the test is skipped where that takes more rights."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a file system cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def fill(path: Path) -> None:
    """Take the last byte of a disk."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1000))


def lengthened(folder: RunFolder, steps: int) -> RunConfig:
    """The run of a folder, now with more steps to do."""
    _, config = RunFolder.open(folder.path)
    longer = config.replaced(steps=steps)
    folder.config_file.write_text(longer.to_json())
    folder.done_file.unlink()
    return longer


def temporary_files(folder: RunFolder) -> list[Path]:
    return [path for path in folder.path.rglob(".*") if not path.name.endswith(".lock")]


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before_it(broken: RunFolder) -> None:
    config = lengthened(broken, 832)
    before = [path.name for path in list_checkpoints(broken)]
    with files_of_at_most(4_000_000), pytest.raises(UserError) as refused:
        train(config, broken, resume=True)
    message = str(refused.value)
    assert "cannot write" in message
    assert "policy.safetensors: File too large: raise the limit" in message
    assert f"the last good checkpoint is {open_checkpoint(broken).path}" in message
    assert f"--resume {broken.path}" in message
    assert [path.name for path in list_checkpoints(broken)] == before
    assert not temporary_files(broken)
    assert train(config, broken, resume=True).step == 832


@pytest.mark.slow
def test_a_whole_run_on_a_disk_that_fills(tmp_path: Path, broken: RunFolder) -> None:
    with full_disk(tmp_path / "disk", 45) as disk:
        subprocess.run(["cp", "-r", str(broken.path), str(disk / "run")], check=True)
        folder = RunFolder(disk / "run")
        config = lengthened(folder, 832)
        filler = disk / "filler"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        filler.write_bytes(bytes(free - 3_000_000))
        with pytest.raises(UserError, match="No space left on device: free some space") as refused:
            train(config, folder, resume=True)
        assert "\n" not in str(refused.value)
        assert [path.name for path in list_checkpoints(folder)] == ["400", "800"]
        fill(filler)
        with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
            train(config, folder, resume=True)
        filler.unlink()
        assert train(config, folder, resume=True).finished


def test_a_row_that_does_not_fit_is_not_begun(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "episodes.csv", Episode._fields)
    log.append(Episode(1, 0.1, 2.0, 3))
    size = log.bytes_written
    with files_of_at_most(size + 5), pytest.raises(CannotWriteError, match=r"episodes\.csv"):
        log.append(Episode(2, 0.2, 3.0, 4))
    assert log.bytes_written == size
    log.append(Episode(3, 0.3, 4.0, 5))
    log.close()
    rows = list(read_csv(tmp_path / "episodes.csv", Episode._fields))
    assert [row["step"] for row in rows] == ["1", "3"]


@pytest.mark.slow
def test_a_row_of_training_that_does_not_fit_stops_it(
    broken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = lengthened(broken, 1200)
    before = broken.episodes_file.read_bytes()
    append = CsvLog.append

    def full(log: CsvLog, *rows: Any) -> None:
        room = 10 if log.path.name == "episodes.csv" else 1000
        with files_of_at_most(log.bytes_written + room):
            append(log, *rows)

    monkeypatch.setattr(CsvLog, "append", full)
    with pytest.raises(UserError, match=r"cannot write .*episodes\.csv.* checkpoint is .*800"):
        train(config, broken, resume=True)
    assert broken.episodes_file.read_bytes() == before
    monkeypatch.undo()
    assert train(config, broken, resume=True).finished


def test_an_event_that_does_not_fit_is_not_begun_and_said(tmp_path: Path) -> None:
    events = EventWriter(tmp_path, 0)
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size
    with files_of_at_most(size + 5), pytest.raises(CannotWriteError, match="tfevents"):
        events.scalar("score", 1.0, 1)
    assert file.stat().st_size == size
    events.close()


@pytest.mark.slow
def test_events_that_cannot_be_written_stop_training(
    broken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = lengthened(broken, 832)

    def full(*_: object) -> None:
        raise CannotWriteError("cannot write events.out.tfevents.1: No space left on device")

    monkeypatch.setattr(RunWriter, "scalars", full)
    with pytest.raises(UserError, match=r"tfevents.*the last good checkpoint is .*800"):
        train(config, broken, resume=True)
    monkeypatch.undo()
    assert train(config, broken, resume=True).finished


@pytest.mark.slow
def test_a_video_that_does_not_fit_is_none(broken: RunFolder) -> None:
    (whole,) = record_runs([broken.path], max_steps=40)
    content = whole.path.read_bytes()
    with (
        files_of_at_most(len(content) // 2),
        pytest.raises(UserError, match=r"cannot write .*\.mp4: File too large"),
    ):
        record_runs([broken.path], max_steps=40)
    assert whole.path.read_bytes() == content
    assert [path.name for path in broken.videos.iterdir() if ".tmp" in path.name] == []


def test_an_encoder_that_ends_at_once_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = tmp_path / "ffmpeg"
    encoder.write_text("#!/bin/sh\necho one thing >&2\necho and another >&2\nexit 3\n")
    encoder.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", lambda: str(encoder))
    path = tmp_path / "videos" / "game.mp4"

    def record() -> None:
        with mp4(path, 480, 688, 15) as write:
            for _ in range(100):
                write(np.zeros((688, 480, 3), np.uint8))

    with pytest.raises(CannotWriteError, match=r"game\.mp4: ffmpeg ended with code 3: and another"):
        record()
    assert list(path.parent.iterdir()) == []


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, "old")
    with files_of_at_most(1000), pytest.raises(CannotWriteError, match="File too large"):
        write_durably(path, bytes(2000))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_short_write_is_carried_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Appender(tmp_path / "file")
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    file.append(b"a record")
    monkeypatch.undo()
    file.close()
    assert (tmp_path / "file").read_bytes() == b"a record"


def test_other_errors_of_the_system_are_said_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(CannotWriteError, match=os.strerror(errno.ENOENT)):
        write_durably(tmp_path / "missing" / "file", "x")


def test_a_table_whose_header_did_not_fit_is_begun_when_there_is_space(tmp_path: Path) -> None:
    path = tmp_path / "episodes.csv"
    with files_of_at_most(5), pytest.raises(CannotWriteError):
        CsvLog(path, Episode._fields)
    assert list(read_csv(path, Episode._fields)) == []
    path.write_text("step,sec")  # a kill, where a write is not whole
    assert list(read_csv(path, Episode._fields)) == []
    log = CsvLog(path, Episode._fields)
    log.append(Episode(1, 0.1, 2.0, 3))
    log.close()
    assert [row["step"] for row in read_csv(path, Episode._fields)] == ["1"]


def test_somebody_elses_broken_pipe_does_not_keep_the_encoder_waiting(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), mp4(tmp_path / "game.mp4", 480, 688, 15):
        raise BrokenPipeError  # a progress bar, whose reader has gone
    assert list(tmp_path.iterdir()) == []
