"""One game at a time through Gymnasium's own wrappers, for rendering and as test reference.

`AtariVecEnv` is tested against it frame by frame: from the same emulator seed, no-ops and actions,
both play the same game.
"""

from __future__ import annotations

import time
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from ale_py import Action, ALEInterface, AtariEnv, LoggerMode
from gymnasium.utils import seeding
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from numpy.typing import NDArray

from envs.games import rom_id
from envs.protocol import FIRE, Protocol, find_protocol, starts_with_fire
from envs.seeds import check_emulator_seed

FRAME_RATE = 60  # of the console (NTSC), frames/s

Frame = NDArray[np.uint8]
Step = tuple[Frame, SupportsFloat, bool, bool, dict[str, Any]]


def make_reference_env(
    game: str, protocol: Protocol | str = "v4", *, training: bool, render: bool = False
) -> gymnasium.Env[Frame, int]:
    """One Atari game as a Gymnasium environment, with the semantics of `AtariVecEnv`.

    Observations are (stack, height, width) uint8, the newest frame last. Every info contains
    `info["lives"]`, and that of a game's last step also `info["episode"]`: its raw score "r", its
    length in agent steps "l", and "t", seconds since the environment was made. When a lost life has
    ended a training episode, `reset()` without a seed continues the same game.

    `reset(seed=...)` takes an emulator's seed. The number of no-ops is random, unless
    `options={"episode_frame_number": n}` sets the frame of the emulator to start at: with the value
    from `AtariVecEnv.reset_infos`, a game that was played there can be repeated here.

    `render()` returns the screen in full color, (height, width, 3) uint8, mostly 210 × 160. It is
    the maximum of the last two emulator frames, because many games draw a sprite only in every
    other frame. `metadata["render_fps"]` is real time.

    Args:
        game: name of the game, such as "MsPacman".
        protocol: a Protocol or the name of one.
        training: if true, a lost life ends an episode (but not the game) and rewards are clipped,
            if the protocol says so. If false, episodes are whole games and rewards are raw.
        render: whether `render` will be called.

    Raises:
        UnknownGameError: no game has this name.
        UnknownProtocolError: no protocol has this name.
    """
    protocol = find_protocol(protocol)
    ALEInterface.setLoggerMode(LoggerMode.Error)  # otherwise each interface prints a banner
    emulator = AtariEnv(
        rom_id(game),
        obs_type="grayscale",
        frameskip=1,
        repeat_action_probability=protocol.repeat_action_probability,
        render_mode="rgb_array" if render else None,
    )
    screen = AtariPreprocessing(
        _Emulation(emulator, protocol),
        noop_max=0,
        frame_skip=protocol.frame_skip,
        screen_size=protocol.screen_size,
    )
    episodes = _Episodes(screen, protocol, training)
    return FrameStackObservation(episodes, protocol.stack, padding_type="zero")


class _Emulation(gymnasium.Wrapper[Frame, int, Frame, int]):
    """Frames of the emulator: seeds, no-ops, the frame limit and full-color pictures.

    Gymnasium's own no-ops are turned off: their number cannot be set, they count towards ale-py's
    frame limit, and they need a game whose first action is NOOP (Backgammon and VideoCheckers have
    none).
    """

    def __init__(self, env: AtariEnv, protocol: Protocol) -> None:
        super().__init__(env)
        self.emulator = env
        self.protocol = protocol
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": FRAME_RATE / protocol.frame_skip,
        }
        self._frames = 0
        self._pictures: tuple[Frame, ...] = ()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        ale = self.emulator.ale
        if seed is not None:
            # AtariEnv.reset(seed) would seed the emulator with a number derived from the seed.
            ale.setInt("random_seed", check_emulator_seed(seed))
            self.emulator.load_game()
            self.np_random, _ = seeding.np_random(seed)
        observation, info = self.env.reset()
        # Some games need frames to choose a mode and to start, before any no-op.
        drawn = ale.getEpisodeFrameNumber() + self.np_random.integers(self.protocol.noop_max + 1)
        begin = (options or {}).get("episode_frame_number", drawn)
        while ale.getEpisodeFrameNumber() < begin:
            ale.act(Action.NOOP)
            if ale.game_over():
                ale.reset_game()
        self._frames = 0
        self._pictures = ()
        self._take_picture()
        info["lives"] = ale.lives()
        info["episode_frame_number"] = ale.getEpisodeFrameNumber()
        info["frame_number"] = ale.getFrameNumber()
        return observation, info

    def step(self, action: int) -> Step:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._frames += 1
        truncated = not terminated and self._frames >= self.protocol.max_frames
        self._take_picture()
        return observation, reward, terminated, truncated, info

    def render(self) -> Frame:
        if not self._pictures:
            raise RuntimeError("call reset() first, on an environment made with render=True")
        return np.maximum(self._pictures[0], self._pictures[-1])

    def _take_picture(self) -> None:
        if self.emulator.render_mode is not None:
            self._pictures = (*self._pictures[-1:], self.emulator.ale.getScreenRGB())


class _Episodes(gymnasium.Wrapper[Frame, int, Frame, int]):
    """Agent steps: FIRE, lost lives, clipped rewards and the score of the game."""

    def __init__(self, env: AtariPreprocessing, protocol: Protocol, training: bool) -> None:
        super().__init__(env)
        self._has_fire = starts_with_fire(env.get_wrapper_attr("get_action_meanings")())
        self._life_ends_episode = training and protocol.life_loss_ends_episode
        self._clips_rewards = training and protocol.clip_rewards
        self._constructed = time.monotonic()
        self._next_life: tuple[Frame, dict[str, Any]] | None = None
        self._lives = 0
        self._score = 0.0
        self._length = 0
        self._fire_due = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        next_life, self._next_life = self._next_life, None
        if next_life is not None and seed is None:
            return next_life
        observation, info = self.env.reset(seed=seed, options=options)
        self._lives = info["lives"]
        self._score = 0.0
        self._length = 0
        self._fire_due = self._has_fire
        return observation, info

    def step(self, action: int) -> Step:
        if self._fire_due:
            action = FIRE
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._score += float(reward)
        self._length += 1
        over = terminated or truncated
        lost = not over and 0 < info["lives"] < self._lives
        self._lives = info["lives"]
        self._fire_due = self._has_fire and lost
        if over:
            seconds = round(time.monotonic() - self._constructed, 6)
            info["episode"] = {"r": self._score, "l": self._length, "t": seconds}
        elif lost and self._life_ends_episode:
            terminated = True
            self._next_life = observation, info
        if self._clips_rewards:
            reward = float(np.sign(float(reward)))
        return observation, reward, terminated, truncated, info
