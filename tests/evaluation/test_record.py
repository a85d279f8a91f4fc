"""Videos: real-time mp4 files with the score, the step and the action under the picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from cli.errors import UserError
from evaluation.record import record_runs
from evaluation.video import ShownStep, captioned, side_by_side
from files.video import mp4

MakeRun = Callable[..., Path]
SCREEN = np.random.default_rng(0).integers(0, 256, (210, 160, 3), dtype=np.uint8)


def shown_step(**changes: object) -> ShownStep:
    values = {"title": "ppo coordconv", "score": 12.0, "step": 345, "action": "FIRE"}
    return ShownStep(SCREEN, **{**values, **changes})  # type: ignore[arg-type]


def read(path: Path) -> tuple[dict[str, object], list[np.ndarray]]:
    frames = imageio_ffmpeg.read_frames(str(path))
    meta = next(frames)
    width, height = meta["size"]
    return meta, [np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in frames]


def test_the_screen_is_enlarged_without_blurring() -> None:
    picture = captioned(shown_step())
    assert picture.shape == (688, 480, 3)
    assert np.array_equal(picture[:630], SCREEN.repeat(3, axis=0).repeat(3, axis=1))


@pytest.mark.parametrize(
    "change", [{"score": 13.0}, {"step": 346}, {"action": "LEFT"}, {"title": "a2c nature"}]
)
def test_everything_in_the_caption_is_visible(change: dict[str, object]) -> None:
    assert not np.array_equal(captioned(shown_step(**change))[630:], captioned(shown_step())[630:])


def test_two_pictures_stand_next_to_each_other() -> None:
    both = side_by_side([shown_step(), shown_step(over=True)])
    assert both.shape == (688, 960, 3)
    assert np.array_equal(both[:, :480], captioned(shown_step()))
    assert both[:630, 480:].mean() < both[:630, :480].mean() / 2, "a finished game is dimmed"


def test_a_video_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "videos" / "game.mp4"

    def interrupted() -> None:
        with mp4(path, 480, 688, 15) as write:
            write(captioned(shown_step()))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        interrupted()
    assert list(path.parent.iterdir()) == []
    with mp4(path, 480, 688, 15) as write:
        for step in range(30):
            write(captioned(shown_step(step=step)))
    meta, frames = read(path)
    assert meta["fps"] == 15
    assert len(frames) == 30
    assert [p.name for p in path.parent.iterdir()] == ["game.mp4"]


def test_recorded_games_move_and_stop_where_asked(make_run: MakeRun) -> None:
    path = make_run()
    (recording,) = record_runs([path], max_steps=40)
    assert recording.path.parent == path / "videos"
    _, frames = read(recording.path)
    assert len(frames) == 40
    assert np.abs(frames[5][:630].astype(int) - frames[35][:630].astype(int)).max() > 50


def test_side_by_side_takes_two_runs_of_one_game(make_run: MakeRun) -> None:
    coordconv, nature = make_run("a"), make_run("b", extractor="nature")
    (recording,) = record_runs([coordconv, nature], together=True, max_steps=5)
    assert len(recording.scores) == 2
    meta, _ = read(recording.path)
    assert meta["size"] == (960, 688)
    assert "coordconv-16-vs-nature-16" in recording.path.name
    with pytest.raises(UserError, match="takes two run folders, got 1"):
        record_runs([coordconv], together=True)
    other = make_run("c", game="Pong")
    with pytest.raises(UserError, match="same game, got Breakout and Pong"):
        record_runs([coordconv, other], together=True)


def test_saliency_colors_the_screen_each_action_was_chosen_from(make_run: MakeRun) -> None:
    coordconv, nature = make_run("a"), make_run("b", extractor="nature")
    (plain,) = record_runs([coordconv], max_steps=12)
    (alone,) = record_runs([coordconv], max_steps=12, with_saliency=True)
    (both,) = record_runs([coordconv, nature], together=True, max_steps=3, with_saliency=True)
    assert alone.path != plain.path
    assert alone.path.name.endswith("-saliency.mp4")
    assert alone.scores == plain.scores
    (_, before), (meta, colored) = read(plain.path), read(alone.path)
    assert meta["size"] == (480, 704), "a line says what full colors mean"
    assert len(colored) == len(before) == 12
    assert read(both.path)[0]["size"] == (960, 704)
    # A fresh agent is moved by next to nothing: what is left is the screen, in gray.
    for shown, earlier in zip(colored[1:], before, strict=False):
        gray = earlier[:630].astype(float) @ [0.299, 0.587, 0.114]
        assert np.abs(shown[:630].mean(axis=2) - gray).mean() < 6
