"""Write TensorBoard's event files without losing events silently.

TensorBoard's own writer hands events to a thread, where errors are only printed, and names its
files by the clock only.
"""

from __future__ import annotations

import os
import re
import socket
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import image, scalar

from files.durable import Appender


class EventWriter:
    """Appends events to a new file in a folder.

    Args:
        folder: the folder that TensorBoard reads.
        step: steps done. Events of later steps in older files belong to work that was lost;
            TensorBoard hides them.

    Raises:
        CannotWriteError: a file cannot be written; every method that writes may raise it too.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._file = Appender(folder / _next_name(folder), new=True)
        self._records = RecordWriter(_Records(self._file))
        first = step + 1
        self._write(Event(step=first, file_version="brain.Event:2"))
        self._write(Event(step=first, session_log=SessionLog(status=SessionLog.START)))

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write a number at a step."""
        self.summary(scalar(tag, value), step)  # type: ignore[no-untyped-call]

    def images(self, tag: str, images: NDArray[np.uint8], step: int) -> None:
        """Write a grid of pictures (N, H, W, 3) at a step."""
        self.summary(image(tag, images, dataformats="NHWC"), step)  # type: ignore[no-untyped-call]

    def summary(self, summary: Summary, step: int | None = None) -> None:
        """Write any summary that TensorBoard can show."""
        self._write(Event(step=step, summary=summary))

    def sync(self) -> None:
        """Make what was written survive a power failure."""
        self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


class _Records:
    """A file as RecordWriter expects it, with each record in one write."""

    def __init__(self, file: Appender) -> None:
        self.write = file.append


def _next_name(folder: Path) -> str:
    """A name that sorts last, as TensorBoard reads files by name; the clock may have gone back."""
    seconds = int(time.time())
    for path in folder.glob("events.out.tfevents.*"):
        older = re.match(r"events\.out\.tfevents\.([0-9]{10})\.", path.name)
        if older:
            seconds = max(seconds, int(older[1]) + 1)
    return f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}.0"
