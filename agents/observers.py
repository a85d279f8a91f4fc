"""What is written down of a run in progress: after each iteration each observer looks at it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import torch

from agents.agent import PolicyAgent
from agents.divergence import (
    finite_buffers,
    require_finite_buffers,
    require_finite_optimizer,
    require_finite_update,
)
from agents.games import FinishedGames
from agents.layers import measured_layers
from agents.play import TRAINING_EVALUATION_SEEDS_FROM, evaluation_seeds, play_games
from agents.tensorboard import EVALUATION, NORMALISED, SCORE, RunWriter
from agents.watch import watch_game
from cli.progress import ProgressReport
from envs.family import Family
from records.checkpoint import TrainingState
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import save_checkpoint
from records.layers import LayerUse, layer_log, write_where_maps
from records.random_states import random_states
from records.rows import evaluation_log

# Losses and speed are written about this often; A2C updates every 80 steps.
STEPS_BETWEEN_LOGS = 2_048
STEPS_BETWEEN_LAYERS = 8 * STEPS_BETWEEN_LOGS
# How often where-maps are kept as data; they grow slowly and are large.
WHERE_MAPS_OF_A_RUN = 4
SECONDS_OF_A_CLIP = 20


@dataclass(frozen=True)
class Training:
    """A run in progress, as its observers see it.

    Attributes:
        config: of the run.
        folder: where it is kept.
        family: of its games.
        model: SB3's algorithm.
        games: those that it has finished.
    """

    config: RunConfig
    folder: RunFolder
    family: Family
    model: Any
    games: FinishedGames

    @property
    def step(self) -> int:
        """Agent steps done."""
        return int(self.model.num_timesteps)

    @property
    def is_complete(self) -> bool:
        """Whether the last step is done."""
        return self.step >= self.config.total_steps

    def passed(self, every: int) -> bool:
        """Whether the last iteration crossed a multiple of `every`."""
        before = self.step - self.config.steps_of_iteration
        return every > 0 and self.step // every > before // every

    def observations(self) -> torch.Tensor:
        """What the network looks at next, (N, C, H, W) uint8."""
        return torch.as_tensor(self.model._last_obs, device=self.model.device)


class Observer(Protocol):
    """Looks at a run after each iteration."""

    def __call__(self, run: Training) -> None:
        """Write down what this observer is for, if it is time."""
        ...


class FiniteNumbers:
    """Stops a run whose losses or weights are not finite any more, before anything is kept."""

    def __call__(self, run: Training) -> None:
        """Raises DivergedError."""
        model = run.model
        recorded = model.logger.name_to_value
        require_finite_update(model.policy, recorded, run.observations, run.step)


class Progress:
    """Shows a person how far the run has come."""

    def __init__(self, report: ProgressReport) -> None:
        self._report = report

    def __call__(self, run: Training) -> None:
        """Move the bar."""
        score = run.games.score
        self._report.update(run.step, "" if score is None else f"score {score:.1f}")


class Curves:
    """Writes scores and losses to TensorBoard."""

    def __init__(self, writer: RunWriter, report: ProgressReport) -> None:
        self._writer, self._report = writer, report

    def __call__(self, run: Training) -> None:
        """At the same steps whether or not the run was interrupted."""
        if not run.passed(STEPS_BETWEEN_LOGS) and not run.is_complete:
            return
        model, step, score = run.model, run.step, run.games.score
        normalised = None if score is None else run.family.human_normalised(run.config.game, score)
        self._writer.scalars(
            step,
            {
                SCORE: score,
                NORMALISED: normalised,
                "score/game_length": run.games.length,
                "score/games": float(run.games.count),
                "time/steps_per_second": self._report.per_second,
                "time/hours": run.games.seconds / 3600,
            },
        )
        self._writer.losses(step, model.logger.name_to_value)
        model.logger.dump(step)


class Layers:
    """Writes how much each layer uses position: to TensorBoard, and as data of the run.

    Args:
        writer: of the run.
        folder: in which the data is kept; later measurements than the run's step are gone.
    """

    def __init__(self, writer: RunWriter, folder: RunFolder) -> None:
        self._writer, self._folder = writer, folder
        self._is_begun = folder.layers_file.exists()

    def __call__(self, run: Training) -> None:
        """Measure at the start, at the end, and at steps between that do not depend on resumes."""
        step, last = run.step, run.is_complete
        keeps_maps = (
            not self._is_begun or last or run.passed(run.config.total_steps // WHERE_MAPS_OF_A_RUN)
        )
        if not keeps_maps and not run.passed(STEPS_BETWEEN_LAYERS):
            return
        self._is_begun = True
        measured = measured_layers(run.model.policy, run.observations())
        if not measured:
            return
        self._writer.layers(step, measured)
        with closing(layer_log(self._folder)) as log:
            log.append(*(LayerUse(step, of.name, of.translation_dependence) for of in measured))
        if keeps_maps:
            write_where_maps(self._folder, step, {of.name: of.where_map for of in measured})


class Evaluations:
    """Plays whole unclipped games; training's own games and random streams are untouched."""

    def __init__(self, writer: RunWriter, stop: Callable[[], bool]) -> None:
        self._writer, self._stop = writer, stop

    def __call__(self, run: Training) -> None:
        """Play, if it is time."""
        if run.passed(run.config.eval_every):
            with torch.random.fork_rng():  # somebody's own network may draw random numbers
                self._play(run)

    def _play(self, run: Training) -> None:
        config, step, family = run.config, run.step, run.family
        agent = PolicyAgent(config.extractor, run.model.policy)
        seeds = evaluation_seeds(config.eval_episodes, TRAINING_EVALUATION_SEEDS_FROM)
        games = play_games(
            agent,
            family,
            config.game,
            config.protocol,
            seeds,
            threads=config.threads,
            stop=self._stop,
        )
        if len(games) < len(seeds):
            return  # asked to stop: half an evaluation would favour short games
        log = evaluation_log(run.folder.evaluation_file)
        try:
            log.append(*(game.row(step, agent.mode) for game in games))
        finally:
            log.close()
        self._writer.scalars(step, {EVALUATION: float(np.mean([game.score for game in games]))})
        fps = round(family.actions_per_second)
        watched = watch_game(agent, family, config.game, config.protocol, seeds[0])
        moments = islice(watched, SECONDS_OF_A_CLIP * fps)
        self._writer.clip(step, [moment.screen for moment in moments], fps)


class Checkpoints:
    """Writes checkpoints: one at the start, at every multiple of the interval, and at the end.

    Args:
        writer: whose events have to be on disk before.
        run: in which no number but a mask's infinity is infinite yet.
        resumes: how often the run was continued.
        last: the step of the checkpoint that it goes on from; None for a new run.
    """

    def __init__(
        self, writer: RunWriter, run: Training, resumes: int, last: int | None = None
    ) -> None:
        self._writer, self._resumes, self._last = writer, resumes, last
        self._finite_buffers = finite_buffers(run.model.policy)

    def __call__(self, run: Training) -> None:
        """Write one, if it is time."""
        if run.passed(run.config.checkpoint_every):
            self.write(run)

    def write_if_new(self, run: Training) -> None:
        """Write one unless there is one of this step."""
        if run.step != self._last:
            self.write(run)

    def write(self, run: Training) -> None:
        """Write one.

        Raises:
            DivergedError: a number of it is not finite.
            CannotWriteError: the older checkpoints stand.
        """
        model, games = run.model, run.games
        require_finite_optimizer(model.policy, model.policy.optimizer, run.step)
        require_finite_buffers(model.policy, self._finite_buffers, run.step)
        games.sync()
        self._writer.sync()
        state = TrainingState(
            step=run.step,
            updates=int(model._n_updates),
            seconds=round(games.seconds, 2),
            games=games.count,
            resumes=self._resumes,
            score=games.telling_score,
            episodes_bytes=games.bytes_written,
            rng=random_states(),
        )
        save_checkpoint(run.folder, model.policy, model.policy.optimizer, state, run.config.keep)
        self._last = run.step
