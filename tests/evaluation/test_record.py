"""Videos: real-time mp4 files with the score, the step and the action under the picture."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

import evaluate
from cli.errors import UserError
from evaluation.record import STEPS_OF_A_SCENE, record_runs
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


@pytest.mark.slow
def test_recorded_games_move_and_stop_where_asked(make_run: MakeRun) -> None:
    path = make_run()
    (recording,) = record_runs([path], max_steps=40)
    assert recording.path.parent == path / "videos"
    _, frames = read(recording.path)
    assert len(frames) == 40
    assert np.abs(frames[5][:630].astype(int) - frames[35][:630].astype(int)).max() > 50


@pytest.mark.slow
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


@pytest.mark.slow
def test_progress_shows_the_same_game_at_every_kept_checkpoint(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run(steps=48, checkpoint_every=16, keep="all")
    assert evaluate.main(["record", str(path), "--progress", "--max-steps", "4"]) == 0
    (video,) = (path / "videos").iterdir()
    assert video.name == "Breakout-coordconv-progress-seed-1.mp4"
    assert capsys.readouterr().out == f"wrote {video} (score 0 at 0, 0 at 16, 0 at 32, 0 at 48)\n"
    _, frames = read(video)
    assert len(frames) == 4 * 4
    scenes = [frame[:630].astype(int) for frame in frames[::4]]
    assert all(np.abs(scene - scenes[0]).mean() < 1 for scene in scenes), "another game"
    captions = [frame[630:].astype(int) for frame in frames[::4]]
    assert all(np.abs(caption - captions[0]).max() > 50 for caption in captions[1:])


def test_the_caption_tells_the_checkpoint() -> None:
    plain, told, other = (captioned(shown_step(checkpoint=step)) for step in (None, 0, 10_000_000))
    assert not np.array_equal(plain, told)
    assert not np.array_equal(told, other)
    assert np.array_equal(told[:, 300:], other[:, 300:]), "it reaches the action"


@pytest.mark.slow
def test_progress_is_bounded_and_leaves_out_what_is_damaged(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_run(steps=32, checkpoint_every=16, keep="all")
    os.truncate(path / "checkpoints/16/policy.safetensors", 1000)
    (recording,) = record_runs([path], progress=True)
    assert [step for step, _ in recording.scenes] == [0, 32]
    assert "16/policy.safetensors is damaged" in capsys.readouterr().err
    _, frames = read(recording.path)
    assert 0 < len(frames) <= 2 * STEPS_OF_A_SCENE
    for step in (0, 32):
        os.truncate(path / f"checkpoints/{step}/policy.safetensors", 1000)
    before = recording.path.read_bytes()
    with pytest.raises(UserError, match=r"no checkpoint of .* can be read"):
        record_runs([path], progress=True)
    assert recording.path.read_bytes() == before


@pytest.mark.slow
def test_progress_side_by_side_is_of_the_checkpoints_that_both_kept(make_run: MakeRun) -> None:
    some = make_run("a", steps=48, checkpoint_every=16)
    every = make_run("b", steps=48, checkpoint_every=16, keep="all", extractor="nature")
    (recording,) = record_runs([some, every], together=True, progress=True, max_steps=2)
    assert recording.path.name == "Breakout-coordconv-vs-nature-progress-seed-1.mp4"
    assert [step for step, _ in recording.scenes] == [32, 48]
    assert all(len(scores) == 2 for _, scores in recording.scenes)
    other = make_run("c", steps=64, checkpoint_every=64, seed=3)
    shutil.rmtree(other / "checkpoints/0")
    with pytest.raises(UserError, match="have no checkpoint of the same step"):
        record_runs([some, other], together=True, progress=True)
    with pytest.raises(UserError, match="leave out --checkpoint"):
        evaluate.main(["record", str(some), "--progress", "--checkpoint", "best"])


@pytest.mark.slow
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
