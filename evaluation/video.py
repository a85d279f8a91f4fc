"""Frames of a recorded game: the screen with score, step and action below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from files.video import Frame

SCALE = 3
SCREEN = (160 * SCALE, 210 * SCALE)
# Chosen so that 630 + 58 = 688 and 480 are multiples of 16, which video encoders prefer.
CAPTION_HEIGHT = 58
WIDTH, HEIGHT = SCREEN[0], SCREEN[1] + CAPTION_HEIGHT
LEGEND_HEIGHT = 16
MARGIN = 10


@dataclass(frozen=True)
class ShownStep:
    """One agent step as a video shows it: the screen (210, 160, 3) and the text below it.

    `checkpoint` is the step of the checkpoint that plays, if a video shows several.
    `legend` is an additional line that explains what was drawn on the screen.
    """

    screen: Frame
    title: str
    score: float
    step: int
    action: str
    over: bool = False
    checkpoint: int | None = None
    legend: str = ""


def captioned(shown: ShownStep) -> Frame:
    """The enlarged screen with text below it: (688, 480, 3), or (704, 480, 3) with a legend."""
    screen = Image.fromarray(shown.screen).resize(SCREEN, Image.Resampling.NEAREST)
    if shown.over:
        screen = Image.eval(screen, lambda value: value // 3)
    height = HEIGHT + (LEGEND_HEIGHT if shown.legend else 0)
    picture = Image.new("RGB", (WIDTH, height), (16, 16, 16))
    picture.paste(screen, (0, 0))
    draw = ImageDraw.Draw(picture)
    large, small = ImageFont.load_default(20), ImageFont.load_default(16)
    right = WIDTH - MARGIN
    top, bottom = SCREEN[1] + 17, SCREEN[1] + 42
    action = "game over" if shown.over else shown.action
    trained = "" if shown.checkpoint is None else f"checkpoint {shown.checkpoint:,}, "
    draw.text((MARGIN, top), shown.title, "white", large, anchor="lm")
    draw.text((right, top), f"score {shown.score:.0f}", "#ffd24a", large, anchor="rm")
    draw.text((MARGIN, bottom), f"{trained}step {shown.step:,}", "#a0a0a0", small, anchor="lm")
    draw.text((right, bottom), action, "#7cc7ff", small, anchor="rm")
    legend = ImageFont.load_default(13)
    draw.text((MARGIN, bottom + LEGEND_HEIGHT), shown.legend, "#a0a0a0", legend, anchor="lm")
    return np.asarray(picture)


def side_by_side(steps: Sequence[ShownStep]) -> Frame:
    """Captioned pictures side by side."""
    return np.concatenate([captioned(step) for step in steps], axis=1)
