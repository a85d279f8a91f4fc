"""The Atari protocols: how an emulator's frames become observations, rewards and episodes.

`v4` is the protocol of Mnih et al. (Nature 2015), under which most published tables were measured;
`sticky` is the one that Machado et al. (JAIR 2018) recommend instead. Scores of different protocols
are not comparable.

In both, games whose minimal action set has FIRE as its second action start every game, and every
life after the first, with one agent step of FIRE, whatever action the agent chose: some games
(Breakout) otherwise wait for it forever. Stable-Baselines3 presses it in hidden extra steps, but a
native batch cannot step a single environment, so here FIRE replaces the agent's action. The chosen
action then has no effect, so that this step adds nothing to the expected policy gradient, and the
transition that a value function learns from is one that really happened.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

FIRE = 1
"""The action that starts a life, in games for which `starts_with_fire` is true."""


@dataclass(frozen=True)
class Protocol:
    """The rules by which an agent plays a game.

    Attributes:
        name: name on the command line.
        repeat_action_probability: chance, at each frame, that the emulator repeats the action of
            the previous frame ("sticky actions", Machado et al. 2018).
        life_loss_ends_episode: whether a lost life ends a training episode. The game continues.
        frame_skip: emulator frames that an action is held for; the last two are max-pooled.
        screen_size: height and width of an observation, in pixels.
        stack: number of frames in an observation.
        noop_max: a game starts with 0 to this many no-op frames.
        max_frames: frames of a game after the no-ops until it is truncated.
        clip_rewards: whether training rewards are clipped to their sign.
    """

    name: str
    repeat_action_probability: float
    life_loss_ends_episode: bool
    frame_skip: int = 4  # Mnih et al. 2015: 60 frames/s, so 15 agent steps/s
    screen_size: int = 84  # Mnih et al. 2015
    stack: int = 4  # Mnih et al. 2015: 4 × 4 frames, about a quarter of a second
    noop_max: int = 30  # Mnih et al. 2015, evaluation
    # 30 min × 60 s × 60 frames/s = 108,000 frames = 27,000 agent steps
    max_frames: int = 108_000
    clip_rewards: bool = True  # Mnih et al. 2015

    def __post_init__(self) -> None:
        if not 0 <= self.repeat_action_probability < 1:
            raise ValueError(
                f"repeat_action_probability must be in [0, 1), got {self.repeat_action_probability}"
            )
        for field in ("frame_skip", "screen_size", "stack", "max_frames"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} must be at least 1, got {getattr(self, field)}")
        if self.noop_max < 0:
            raise ValueError(f"noop_max must be at least 0, got {self.noop_max}")
        if self.max_frames % self.frame_skip:
            raise ValueError(
                f"max_frames must be a multiple of frame_skip = {self.frame_skip}, "
                f"got {self.max_frames}"
            )

    def digest(self) -> str:
        """12 hexadecimal digits that change exactly when a field does."""
        fields = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(fields.encode()).hexdigest()[:12]


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol("v4", repeat_action_probability=0.0, life_loss_ends_episode=True),
            # Machado et al. 2018, section 5: stickiness 0.25, and episodes end only with the game
            Protocol("sticky", repeat_action_probability=0.25, life_loss_ends_episode=False),
        )
    }
)
"""The protocols by name."""


class UnknownProtocolError(ValueError):
    """No protocol has this name; the message suggests the nearest one."""

    def __init__(self, name: str) -> None:
        nearest = difflib.get_close_matches(name.lower(), PROTOCOLS, n=1, cutoff=0.4)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        super().__init__(
            f"unknown protocol {name!r}: {hint}The protocols are {', '.join(PROTOCOLS)}"
        )


def find_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol with this name; a Protocol is returned unchanged.

    Raises:
        UnknownProtocolError: no protocol has exactly this name.
    """
    if isinstance(protocol, Protocol):
        return protocol
    try:
        return PROTOCOLS[protocol]
    except KeyError:
        raise UnknownProtocolError(protocol) from None


def starts_with_fire(action_meanings: Sequence[str]) -> bool:
    """Whether games with these actions start each life with FIRE.

    This is the condition of Stable-Baselines3's `FireResetEnv`, so that both press FIRE in the same
    games.
    """
    return len(action_meanings) >= 3 and action_meanings[FIRE] == "FIRE"
