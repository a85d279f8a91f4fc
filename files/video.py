"""H.264 videos, written frame by frame and there only when they are complete."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

from files.durable import cannot_write

Frame = NDArray[np.uint8]

UNFINISHED = ".tmp.mp4"


class VideoWriter(Protocol):
    """Takes the frames of a video one by one."""

    def __call__(self, frame: Frame) -> None:
        """Append a frame (H, W, 3)."""
        ...


@contextmanager
def mp4(path: Path, width: int, height: int, frames_per_second: float) -> Iterator[VideoWriter]:
    """A writer of an H.264 mp4; the file appears when it is complete.

    Nobody else may write videos into the folder at the same time: what a killed process left there
    is removed.

    Raises:
        CannotWriteError: the disk is full, say.
    """
    folder = path.parent
    temporary = path.with_name(f".{path.stem}{UNFINISHED}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f".*{UNFINISHED}"):
            leftover.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        with _encoder(temporary, width, height, frames_per_second) as write:
            yield write
        temporary.replace(path)
    except _EncoderFailedError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


class _EncoderFailedError(OSError):
    """FFmpeg has ended with an error, and not somebody else's pipe."""


@contextmanager
def _encoder(
    path: Path, width: int, height: int, frames_per_second: float
) -> Iterator[VideoWriter]:
    """FFmpeg, whose end is looked at: a video it could not finish is none."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", str(frames_per_second), "-i", "-", "-an",
        # Flat colours and sharp edges: this keeps them at a few hundred kilobytes a minute.
        "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "23", "-preset", "veryfast",
        "-movflags", "+faststart", str(path),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            process_group=0,  # Ctrl-C is for us; of our session, so that our nice value counts
        )
        assert process.stdin is not None
        try:
            yield _writer_into(process.stdin)
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        except _EncoderFailedError:  # it ended first, and knows why
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with suppress(OSError):
                process.stdin.close()
        if process.returncode:
            said.seek(0)
            raise _encoder_failed(process.returncode, said.read().decode(errors="replace"))


def _writer_into(pipe: IO[bytes]) -> VideoWriter:
    def write(frame: Frame) -> None:
        try:
            pipe.write(np.ascontiguousarray(frame).tobytes())
        except BrokenPipeError as error:
            raise _EncoderFailedError from error

    return write


def _encoder_failed(code: int, said: str) -> _EncoderFailedError:
    for number in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(number) in said:
            return _EncoderFailedError(number, os.strerror(number))
    if code == -signal.SIGXFSZ:
        return _EncoderFailedError(errno.EFBIG, os.strerror(errno.EFBIG))
    line = (said.strip().splitlines() or ["it said nothing"])[-1]
    return _EncoderFailedError(errno.EIO, f"ffmpeg ended with code {code}: {line[:200]}")
