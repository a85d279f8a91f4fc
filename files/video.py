"""Write H.264 videos frame by frame; a file appears only when it is complete."""

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
    """Writes the frames of a video one by one."""

    def __call__(self, frame: Frame) -> None:
        """Append a frame (H, W, 3)."""
        ...


@contextmanager
def mp4(path: Path, width: int, height: int, frames_per_second: float) -> Iterator[VideoWriter]:
    """A writer of an H.264 mp4; the file appears when it is complete.

    No other process may write videos into the folder at the same time, because leftovers of killed
    processes are removed.

    Raises:
        CannotWriteError: the file cannot be written, for example because the disk is full.
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
    """FFmpeg ended with an error; distinct from a broken pipe of another process."""


@contextmanager
def _encoder(
    path: Path, width: int, height: int, frames_per_second: float
) -> Iterator[VideoWriter]:
    """Run FFmpeg and check its exit code: a video that it could not finish is an error."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-y",
        "-v",
        "error",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{width}x{height}",
        "-r",
        str(frames_per_second),
        "-i",
        "-",
        "-an",
        # Flat colors and sharp edges take a few hundred kilobytes a minute with this.
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p",
        "-crf",
        "23",
        "-preset",
        "veryfast",
        "-movflags",
        "+faststart",
        str(path),
    ]
    with tempfile.TemporaryFile() as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=messages,
            # Ctrl-C must not reach it. A new session would lose our nice value.
            process_group=0,
        )
        assert process.stdin is not None
        try:
            yield _writer_into(process.stdin)
            with suppress(BrokenPipeError):
                process.stdin.close()
            process.wait()
        except _EncoderFailedError:  # it ended early, and its messages say why
            process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            with suppress(OSError):
                process.stdin.close()
        if process.returncode:
            messages.seek(0)
            raise _encoder_failed(process.returncode, messages.read().decode(errors="replace"))


def _writer_into(pipe: IO[bytes]) -> VideoWriter:
    def write(frame: Frame) -> None:
        try:
            pipe.write(np.ascontiguousarray(frame).tobytes())
        except BrokenPipeError as error:
            raise _EncoderFailedError from error

    return write


def _encoder_failed(code: int, messages: str) -> _EncoderFailedError:
    for number in (errno.ENOSPC, errno.EDQUOT):
        if os.strerror(number) in messages:
            return _EncoderFailedError(number, os.strerror(number))
    if code == -signal.SIGXFSZ:
        return _EncoderFailedError(errno.EFBIG, os.strerror(errno.EFBIG))
    line = (messages.strip().splitlines() or ["it printed no message"])[-1]
    return _EncoderFailedError(errno.EIO, f"ffmpeg ended with code {code}: {line[:200]}")
