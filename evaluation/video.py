"""Pictures of play and the mp4 files made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from agents.watch import FRAMES_PER_SECOND
from programs.errors import UserError

Frame = NDArray[np.uint8]

SCALE = 3
SCREEN = (160 * SCALE, 210 * SCALE)
# 630 + 58 = 688 and 480 are multiples of 16, as video encoders like them.
CAPTION_HEIGHT = 58
MARGIN = 10


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
    """A writer of an H.264 mp4 at real-time speed; the file appears when it is complete."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path.parent}: {error.strerror}") from error
    temporary = path.with_name(f".{path.stem}.tmp.mp4")
    encoder = imageio_ffmpeg.write_frames(
        str(temporary),
        (width, height),
        fps=FRAMES_PER_SECOND,
        codec="libx264",
        quality=None,
        # Flat colours and sharp edges: this keeps them at a few hundred kilobytes a minute.
        output_params=["-crf", "23", "-preset", "veryfast", "-movflags", "+faststart"],
        ffmpeg_log_level="error",
    )
    encoder.send(None)
    try:
        yield lambda frame: encoder.send(np.ascontiguousarray(frame))
        encoder.close()
        temporary.replace(path)
    finally:
        encoder.close()
        temporary.unlink(missing_ok=True)
