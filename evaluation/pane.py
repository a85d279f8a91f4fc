"""One agent's part of a window: the picture of a video, and a panel with its decision."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from agents.agent import Decision
from evaluation.video import CAPTION_HEIGHT, MARGIN, SCREEN, ShownStep, captioned
from files.video import Frame

PANEL = (300, SCREEN[1] + CAPTION_HEIGHT)
FOOTER_HEIGHT = 56
BACKGROUND, PANEL_BACKGROUND, TRACK = (16, 16, 16), (28, 28, 30), (52, 52, 56)
WHITE, GRAY, SCORE, PLAYED, BAR, WARNING = (
    "white",
    "#a0a0a0",
    "#ffd24a",
    "#7cc7ff",
    "#5b7c96",
    "#ff9d6b",
)
# The bars start to the right of the longest action names, such as UPRIGHTFIRE.
BARS = (128, PANEL[0] - 58)
ROW = 22
NOTE_LETTERS, NOTE_LINES = 38, 8


@dataclass(frozen=True)
class Pane:
    """An agent after one of its steps.

    Attributes:
        shown: the step as a video shows it.
        decision: probabilities and value that led to its action.
        actions: names of all actions.
        agent: label of the weights that play.
        mode: how actions are chosen.
        note: a legend, or why a checkpoint could not be loaded.
    """

    shown: ShownStep
    decision: Decision
    actions: Sequence[str]
    agent: str
    mode: str
    note: str = ""


def pictured(panes: Sequence[Pane], status: str, keys: str) -> Frame:
    """The whole window: panes side by side, with two lines of text below them."""
    parts = [part for pane in panes for part in (captioned(pane.shown), _panel(pane))]
    above = np.concatenate(parts, axis=1)
    footer = Image.new("RGB", (above.shape[1], FOOTER_HEIGHT), BACKGROUND)
    draw = ImageDraw.Draw(footer)
    draw.text((MARGIN, 16), status, WHITE, ImageFont.load_default(16), anchor="lm")
    draw.text((MARGIN, 40), keys, GRAY, ImageFont.load_default(14), anchor="lm")
    return np.concatenate([above, np.asarray(footer)])


def _panel(pane: Pane) -> Frame:
    panel = Image.new("RGB", PANEL, PANEL_BACKGROUND)
    draw = ImageDraw.Draw(panel)
    large, small = ImageFont.load_default(20), ImageFont.load_default(14)
    right = PANEL[0] - MARGIN
    draw.text((MARGIN, 20), pane.agent, WHITE, ImageFont.load_default(18), anchor="lm")
    draw.text((MARGIN, 44), pane.mode, GRAY, small, anchor="lm")
    value = pane.decision.value
    draw.text((MARGIN, 80), "value", GRAY, small, anchor="lm")
    number = "none" if value is None else f"{value:+.2f}"
    draw.text((right, 80), number, SCORE, large, anchor="rm")
    draw.text((MARGIN, 112), "action", GRAY, small, anchor="lm")
    draw.text((right, 112), "probability", GRAY, small, anchor="rm")
    chances = zip(pane.actions, pane.decision.probabilities, strict=True)
    middle = 112
    for index, (name, chance) in enumerate(chances):
        middle += ROW
        played = index == pane.decision.action
        draw.text((MARGIN, middle), name, PLAYED if played else WHITE, small, anchor="lm")
        draw.rectangle((BARS[0], middle - 6, BARS[1], middle + 6), TRACK)
        end = BARS[0] + round(chance * (BARS[1] - BARS[0]))
        draw.rectangle((BARS[0], middle - 6, end, middle + 6), PLAYED if played else BAR)
        text = f"{chance:.1%}"
        draw.text((right, middle), text, PLAYED if played else WHITE, small, anchor="rm")
    note = textwrap.wrap(pane.note, NOTE_LETTERS, max_lines=NOTE_LINES, placeholder=" ...")
    below = (MARGIN, middle + ROW)
    draw.multiline_text(below, "\n".join(note), WARNING, ImageFont.load_default(13))
    return np.asarray(panel)
