"""Watch agents play in a window at the speed of real time, controlled by keys."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from agents.agent import Agent, PolicyAgent, RandomAgent, load_agent
from agents.play import evaluation_seeds
from agents.saliency import Saliency, saliency
from agents.watch import Moment, watch_game
from cli.errors import UserError
from cli.signals import StopRequest
from envs.family import FAMILIES
from evaluation.overlay import full_color, overlaid
from evaluation.pace import Pace
from evaluation.pane import Pane, pictured
from evaluation.record import require_one_game
from evaluation.video import ShownStep
from evaluation.window import CLOSED, Window
from files.video import Frame
from policies.products import fast_products
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints

MOST_PLAYERS = 2
SECONDS_BETWEEN_GAMES = 2.0
# Saliency colors are scaled by the most recent steps: half a minute of Atari.
STEPS_OF_A_SCALE = 450
# How soon a key takes effect while no step is due.
SECONDS_BETWEEN_LOOKS = 0.01

PAUSE, ONE_STEP, NEXT_GAME, SALIENCY = "space", ".", "n", "s"
FASTER, SLOWER, OLDER, NEWER = "up", "down", "left", "right"
ENDS = ("q", "escape", CLOSED)
KEYS = (
    "space: pause   .: one step   n: next game   up, down: speed   "
    "left, right: checkpoint   s: saliency   q: quit"
)


class Player:
    """An agent that plays one game after the other, and the pane that shows its newest step.

    Args:
        config: settings of the run whose game and protocol are played.
        agent: the agent.
        title: name of the agent.
        weights: label of the weights that play.

    Attributes:
        config: as above.
        shows_saliency: whether the screen shows saliency, from the next step on.
        pane: the newest step; set as soon as a game has started.
    """

    pane: Pane

    def __init__(self, config: RunConfig, agent: Agent, title: str, weights: str) -> None:
        self.config = config
        self._agent, self._title, self._weights = agent, title, weights
        self.shows_saliency = False
        self._seen: deque[Saliency] = deque(maxlen=STEPS_OF_A_SCALE)
        self._panes: Generator[Pane, None, None] | None = None

    def begin(self, seed: int) -> None:
        """Start the game that `evaluate.py score` plays from this seed, and play its first step."""
        self.close()
        self._panes = self._play(seed)
        self.pane = next(self._panes)

    def step(self) -> None:
        """Play a step; a finished game keeps its last picture."""
        if self._panes is not None:
            self.pane = next(self._panes, self.pane)

    def change_checkpoint(self, direction: int) -> bool:
        """Load the next older (-1) or newer (1) checkpoint; false if the agent stays the same."""
        return False

    def close(self) -> None:
        """End the game."""
        if self._panes is not None:
            self._panes.close()

    def _play(self, seed: int) -> Generator[Pane, None, None]:
        config, family = self.config, FAMILIES.find(self.config.family)
        names = family.action_meanings(config.game)
        score = 0.0
        moments = watch_game(self._agent, family, config.game, config.protocol, seed)
        with closing(moments):
            for count, moment in enumerate(moments, start=1):
                score += moment.reward
                action = names[moment.decision.action]
                screen, note = self._looked_at(moment)
                shown = ShownStep(screen, self._title, score, count, action, moment.over)
                yield Pane(shown, moment.decision, names, self._weights, self._agent.mode, note)

    def _looked_at(self, moment: Moment) -> tuple[Frame, str]:
        """The screen to show, and a legend for its colors."""
        if not self.shows_saliency or not isinstance(self._agent, PolicyAgent):
            return moment.screen, ""
        action = moment.decision.action
        self._seen.append(saliency(self._agent.policy, moment.observation, action))
        full = full_color(self._seen)
        return overlaid(moment.seen, self._seen[-1], full), str(full)


class TrainedPlayer(Player):
    """The agent of a run, at any of its checkpoints.

    Args:
        path: the run folder.
        checkpoint: "newest", "best" or a step.
        trusted: as in `load_agent`.
        deterministic: play the most likely actions.

    Attributes:
        run: the run folder.

    Raises:
        UserError: not a run folder, no such checkpoint, or a damaged file.
    """

    def __init__(
        self, path: Path, checkpoint: str, trusted: Collection[str], deterministic: bool
    ) -> None:
        self.run = RunFolder(path)
        self._trusted, self._deterministic = trusted, deterministic
        agent, config, self._step = self._load(checkpoint)
        title = f"{config.algo} {config.extractor}"
        super().__init__(config, agent, title, f"checkpoint {self._step:,}")

    def change_checkpoint(self, direction: int) -> bool:
        """As in `Player`; if a checkpoint is missing or damaged, the pane shows a note."""
        steps = [int(path.name) for path in list_checkpoints(self.run)]
        others = [step for step in steps if (step - self._step) * direction > 0]
        if not others:
            kind = "older" if direction < 0 else "newer"
            self.pane = replace(self.pane, note=f"There is no {kind} checkpoint.")
            return False
        try:
            self._agent, _, self._step = self._load(
                str(min(others) if direction > 0 else max(others))
            )
        except UserError as error:
            self.pane = replace(self.pane, note=str(error))
            return False
        self._weights = f"checkpoint {self._step:,}"
        return True

    def _load(self, checkpoint: str) -> tuple[Agent, RunConfig, int]:
        return load_agent(
            self.run.path,
            checkpoint=checkpoint,
            trusted=self._trusted,
            deterministic=self._deterministic,
        )


def watch_runs(
    paths: Sequence[Path],
    *,
    random: bool = False,
    deterministic: bool = False,
    checkpoint: str = "newest",
    trusted: Collection[str] = (),
    first_game: int = 0,
) -> None:
    """Show agents playing in a window until it is closed or Ctrl-C or SIGTERM ends it.

    Args:
        paths: one run folder, or two with the same game and protocol, which play the same games.
        random: also show random play next to the run.
        deterministic: play the most likely actions instead of sampled ones.
        checkpoint: "newest", "best" or a step.
        trusted: as in `load_agent`.
        first_game: index of the scored game to start with.

    Raises:
        UserError: not run folders, too many runs, runs of different games, or no display.
    """
    if len(paths) + random > MOST_PLAYERS:
        with_random = " with --random" if random else ""
        raise UserError(
            f"watch shows at most {MOST_PLAYERS - random} run folders{with_random}, got "
            f"{len(paths)}"
        )
    trained = [TrainedPlayer(path, checkpoint, trusted, deterministic) for path in paths]
    config = trained[0].config
    require_one_game([player.config for player in trained], "watch")
    players: list[Player] = [*trained]
    if random:
        actions = len(FAMILIES.find(config.family).action_meanings(config.game))
        players.append(Player(config, RandomAgent(actions), "random play", "no network"))
    with (
        fast_products(),
        StopRequest() as stop,
        Window(f"{config.game}, {config.protocol}") as window,
    ):
        session = Session(players, window, first_game)
        try:
            while not stop.requested and session.advance():
                time.sleep(session.seconds_to_wait())
        finally:
            for player in players:
                player.close()


class Session:
    """The state of a window: the current game, its speed, and whether it is paused.

    Args:
        players: players of the same games.
        window: window that shows them.
        first_game: index of the scored game to start with.
    """

    def __init__(self, players: Sequence[Player], window: Window, first_game: int) -> None:
        self._players, self._window, self._game = players, window, first_game
        config = players[0].config
        self._name = f"{config.game}, {config.protocol}"
        self._pace = Pace(FAMILIES.find(config.family).actions_per_second)
        self._paused = False
        self._over_since: float | None = None
        self._begin()

    def advance(self) -> bool:
        """Handle pressed keys and play a step if it is due; false once the user has quit."""
        for key in self._window.pressed_keys():
            if key in ENDS:
                return False
            self._handle(key)
        now = time.monotonic()
        if self._over_since is not None:
            if now - self._over_since >= SECONDS_BETWEEN_GAMES and not self._paused:
                self._next_game()
        elif not self._paused and self._pace.seconds_left(now) <= 0:
            self._step(now)
        return True

    def seconds_to_wait(self) -> float:
        """Seconds until `advance` should be called again."""
        if self._paused or self._over_since is not None:
            return SECONDS_BETWEEN_LOOKS
        return min(max(self._pace.seconds_left(time.monotonic()), 0), SECONDS_BETWEEN_LOOKS)

    def _handle(self, key: str) -> None:
        if key == PAUSE:
            self._paused = not self._paused
            self._pace.interrupt()
        elif key == ONE_STEP:
            self._paused = True
            self._pace.interrupt()
            if self._over_since is None:
                self._step(time.monotonic())
        elif key == NEXT_GAME:
            self._next_game()
        elif key == SALIENCY:
            for player in self._players:
                player.shows_saliency = not player.shows_saliency
        elif key in (FASTER, SLOWER):
            self._pace.change(1 if key == FASTER else -1)
        elif key in (OLDER, NEWER):
            direction = -1 if key == OLDER else 1
            changed = [player.change_checkpoint(direction) for player in self._players]
            if any(changed):
                self._begin()
        else:
            return
        self._show()

    def _next_game(self) -> None:
        self._game += 1
        self._begin()

    def _begin(self) -> None:
        """Start the current game, or restart it after a change of checkpoint."""
        (seed,) = evaluation_seeds(1, self._game)
        for player in self._players:
            player.begin(seed)
        self._over_since = None
        self._pace.interrupt()
        self._show_step(time.monotonic())

    def _step(self, now: float) -> None:
        for player in self._players:
            player.step()
        self._show_step(now)

    def _show_step(self, now: float) -> None:
        self._pace.stepped(now)
        if all(player.pane.shown.over for player in self._players):
            self._over_since = now
        self._show()

    def _show(self) -> None:
        measured = self._pace.measured
        speed = "" if measured is None or self._paused else f"   {measured:.1f}"
        status = (
            f"{self._name}   game {self._game}   speed {self._pace.name}{speed}"
            f" of {self._pace.asked:g} steps/s{'   paused' if self._paused else ''}"
        )
        self._window.show(pictured([player.pane for player in self._players], status, KEYS))
