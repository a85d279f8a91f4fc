"""Pictures of play and the mp4 files made of them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agents.watch import FRAMES_PER_SECOND
from programs.durable import cannot_write

Frame = NDArray[np.uint8]

SCALE = 3
SCREEN = (160 * SCALE, 210 * SCALE)
# 630 + 58 = 688 and 480 are multiples of 16, as video encoders like them.
CAPTION_HEIGHT = 58
MARGIN = 10
UNFINISHED = ".tmp.mp4"


@dataclass(frozen=True)
class Moment:
    """One agent step of a game: the screen (210, 160, 3) and what is written under it."""

    screen: Frame
    title: str
    score: float
    step: int
    action: str
    over: bool = False


def captioned(moment: Moment) -> Frame:
    """The screen three times as large with two lines of text under it: (688, 480, 3)."""
    screen = Image.fromarray(moment.screen).resize(SCREEN, Image.Resampling.NEAREST)
    if moment.over:
        screen = Image.eval(screen, lambda value: value // 3)
    picture = Image.new("RGB", (SCREEN[0], SCREEN[1] + CAPTION_HEIGHT), (16, 16, 16))
    picture.paste(screen, (0, 0))
    draw = ImageDraw.Draw(picture)
    large, small = ImageFont.load_default(20), ImageFont.load_default(16)
    right = SCREEN[0] - MARGIN
    top, bottom = SCREEN[1] + 17, SCREEN[1] + 42
    action = "game over" if moment.over else moment.action
    draw.text((MARGIN, top), moment.title, "white", large, anchor="lm")
    draw.text((right, top), f"score {moment.score:.0f}", "#ffd24a", large, anchor="rm")
    draw.text((MARGIN, bottom), f"step {moment.step:,}", "#a0a0a0", small, anchor="lm")
    draw.text((right, bottom), action, "#7cc7ff", small, anchor="rm")
    return np.asarray(picture)


def side_by_side(moments: Sequence[Moment]) -> Frame:
    """Captioned pictures next to each other."""
    return np.concatenate([captioned(moment) for moment in moments], axis=1)


class VideoWriter(Protocol):
    """Takes the frames of a video one by one."""

    def __call__(self, frame: Frame) -> None:
        """Append a frame (H, W, 3)."""
        ...


@contextmanager
def mp4(path: Path, width: int, height: int) -> Iterator[VideoWriter]:
    """A writer of an H.264 mp4 at real-time speed; the file appears when it is complete.

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
        with _encoder(temporary, width, height) as write:
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
def _encoder(path: Path, width: int, height: int) -> Iterator[VideoWriter]:
    """FFmpeg, whose end is looked at: a video it could not finish is none."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error",
        "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
        "-r", str(FRAMES_PER_SECOND), "-i", "-", "-an",
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
            start_new_session=True,  # Ctrl-C is for us
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
