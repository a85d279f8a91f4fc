"""A real window on a virtual screen: what it shows, and what its keys do."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import evaluate
from agents.agent import PolicyAgent, RandomAgent, load_agent
from agents.play import play_games
from agents.watch import watch_game
from cli.errors import UserError
from envs.family import FAMILIES
from evaluation.pace import Pace
from evaluation.pane import Pane, pictured
from evaluation.video import ShownStep
from evaluation.watch import MOST_PLAYERS, Session, TrainedPlayer, watch_runs
from evaluation.window import Window
from records.kept_checkpoints import list_checkpoints
from tests.waiting import wait_for

pygame = pytest.importorskip("pygame")
MakeRun = Callable[..., Path]
needs_xvfb = pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb, a virtual screen")


@pytest.fixture
def screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A virtual screen that nobody else has; the folder where its pixels are."""
    reading, writing = os.pipe()
    options = ["-screen", "0", "1700x1000x24", "-nolisten", "tcp", "-fbdir", str(tmp_path)]
    command = ["Xvfb", "-displayfd", str(writing), *options]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        monkeypatch.setenv("DISPLAY", ":" + os.read(reading, 20).decode().strip())
        monkeypatch.setenv("SDL_VIDEO_WINDOW_POS", "0,0")
        monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
        yield tmp_path
    finally:
        os.close(reading)
        server.terminate()
        server.wait()


def pixels(folder: Path) -> np.ndarray:
    """What the screen shows, (1000, 1700, 3), from Xvfb's file in xwd's format."""
    content = (folder / "Xvfb_screen0").read_bytes()
    header = struct.unpack(">25I", content[:100])
    size, width, height, line, colors = header[0], header[4], header[5], header[12], header[19]
    begin = size + colors * 12
    rows = np.frombuffer(content, np.uint8, line * height, begin).reshape(height, line)
    return rows[:, : width * 4].reshape(height, width, 4)[..., 2::-1]


def press(session: Session, name: str) -> bool:
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.key.key_code(name)))
    return session.advance()


def until(session: Session, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        assert session.advance()
        time.sleep(session.seconds_to_wait())


@pytest.mark.slow
@needs_xvfb
def test_keys_rule_the_games_and_the_screen_shows_them(screen: Path, make_run: MakeRun) -> None:
    path = make_run(steps=64, checkpoint_every=32)
    player = TrainedPlayer(path, "newest", (), False)
    with Window("Breakout") as window:
        session = Session([player], window, first_game=3)
        until(session, lambda: player.pane.shown.step == 5)
        assert press(session, "space")
        paused = player.pane
        for _ in range(20):
            session.advance()
            time.sleep(session.seconds_to_wait())
        assert player.pane is paused
        assert press(session, ".")
        assert player.pane.shown.step == 6
        shown = pictured([player.pane], "", "")
        visible = pixels(screen)[: shown.shape[0], : shown.shape[1]]
        # The footer holds more than is drawn here; above it each pixel is there.
        assert np.array_equal(visible[:-60], shown[:-60])
        assert visible[-60:].max() > 200, "the footer has text"
        steps = [int(checkpoint.name) for checkpoint in list_checkpoints(player.run)]
        assert press(session, "left")
        assert player.pane.agent == f"checkpoint {steps[-2]:,}"
        assert player.pane.shown.step == 1
        for _ in steps:
            assert press(session, "left")
        assert player.pane.note == "There is no older checkpoint."
        damaged = list_checkpoints(player.run)[1] / "policy.safetensors"
        damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
        assert press(session, "right")
        assert "damaged" in player.pane.note
        assert press(session, "s")
        assert press(session, ".")
        assert player.pane.note.startswith("blue: action's probability")
        first = player.pane.shown.screen
        gray = first.astype(int).max(axis=2) - first.min(axis=2)
        assert gray.mean() < 20, "the game's own colors have gone"
        assert press(session, "n")
        assert player.pane.shown.step == 1
        assert not press(session, "q")
        player.close()
        assert first.shape == (210, 160, 3)


@pytest.mark.slow
@needs_xvfb
def test_two_agents_play_the_same_game_side_by_side(screen: Path, make_run: MakeRun) -> None:
    paths = [make_run("one"), make_run("two", extractor="nature")]
    players = [TrainedPlayer(path, "newest", (), True) for path in paths]
    with Window("Breakout") as window:
        session = Session(players, window, first_game=0)
        until(session, lambda: players[0].pane.shown.step == 2)
        assert players[1].pane.shown.step == 2
        shown = pictured([player.pane for player in players], "", "")
        assert np.array_equal(pixels(screen)[: shown.shape[0] - 60, : shown.shape[1]], shown[:-60])
        assert [player.pane.mode for player in players] == ["deterministic"] * 2
        for player in players:
            player.close()


@pytest.mark.slow
@needs_xvfb
def test_a_signal_ends_the_command(screen: Path, make_run: MakeRun) -> None:
    command = [sys.executable, "evaluate.py", "watch", str(make_run()), "--random"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: pixels(screen).max() > 0 or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, b"", b"")


@pytest.mark.slow
def test_without_a_display_record_is_named(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_run()
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", "")  # an empty name is none
    command = [sys.executable, "evaluate.py", "watch", str(path)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert "no display for a window" in line
    assert "evaluate.py record" in line
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with pytest.raises(UserError, match=r"no display for a window .*evaluate\.py record"):
        evaluate.main(["watch", str(path)])


@pytest.mark.slow
def test_what_cannot_be_shown_together_is_refused(make_run: MakeRun) -> None:
    breakout, pong = make_run("breakout"), make_run("pong", game="Pong")
    with pytest.raises(UserError, match="same game, got Breakout and Pong"):
        watch_runs([breakout, pong])
    with pytest.raises(UserError, match=f"at most {MOST_PLAYERS} run folders, got 3"):
        watch_runs([breakout] * 3)
    with pytest.raises(UserError, match="at most 1 run folders with --random, got 2"):
        watch_runs([breakout] * 2, random=True)


@pytest.mark.slow
def test_the_numbers_beside_a_game_are_those_it_was_played_with(make_run: MakeRun) -> None:
    path = make_run()
    agent, config, _ = load_agent(path)
    assert isinstance(agent, PolicyAgent)
    family = FAMILIES.find(config.family)
    (scored,) = play_games(agent, family, config.game, config.protocol, [5])
    moments = list(watch_game(agent, family, config.game, config.protocol, 5))
    assert len(moments) == scored.length
    assert sum(moment.reward for moment in moments) == scored.score
    observation = np.random.default_rng(0).integers(0, 256, (4, 84, 84), dtype=np.uint8)
    decision = agent.decide(observation, np.random.default_rng(1))
    assert decision.action == agent.act(observation[None], [np.random.default_rng(1)])[0]
    with torch.no_grad():
        logits, values = agent._policy.logits_and_values(torch.as_tensor(observation[None]))
    np.testing.assert_allclose(decision.probabilities, logits.softmax(dim=1)[0].double(), rtol=1e-5)
    assert decision.value == pytest.approx(values.item())
    random = RandomAgent(4).decide(observation, np.random.default_rng(0))
    assert random.value is None
    assert random.probabilities.tolist() == [0.25] * 4


def test_no_stretch_of_a_game_is_faster_than_asked() -> None:
    pace = Pace(15)
    assert pace.seconds_left(0) < 0, "the first step is due at once"
    pace.stepped(10)
    assert pace.seconds_left(10) == pytest.approx(1 / 15)
    pace.stepped(12)  # two seconds late: the next is due after a step's time, not before
    assert pace.seconds_left(12) == pytest.approx(1 / 15)
    assert pace.measured == 0.5
    pace.change(1)
    assert (pace.name, pace.asked) == ("x2", 30)
    for _ in range(20):
        pace.change(-1)
    assert pace.name == "x1/8"


def test_eighteen_actions_and_a_long_note_fit() -> None:
    agent = RandomAgent(18)
    decision = agent.decide(np.zeros((4, 84, 84), np.uint8), np.random.default_rng(0))
    shown = ShownStep(np.zeros((210, 160, 3), np.uint8), "a2c nature", 1, 2, "UPRIGHTFIRE")
    pane = Pane(
        shown, decision, ["DOWNRIGHTFIRE"] * 18, "checkpoint 1", "stochastic", "word " * 200
    )
    picture = pictured([pane], "", "")
    assert picture.shape == (688 + 56, 780, 3)
    # Between the last line and the border, and at the right border, nothing is drawn.
    assert len(np.unique(picture[680:688, 480:].reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(picture[:688, -5:].reshape(-1, 3), axis=0)) == 1
