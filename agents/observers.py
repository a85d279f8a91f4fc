"""Observers of a run in progress, which record it after each iteration."""

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
from agents.tensorboard import EVALUATION, NORMALIZED, SCORE, RunWriter
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
# Where-maps are stored this often in a run: they change slowly and are large.
WHERE_MAPS_OF_A_RUN = 4
SECONDS_OF_A_CLIP = 20


@dataclass(frozen=True)
class Training:
    """A run in progress, as its observers see it.

    Attributes:
        config: the run's settings.
        folder: the run's folder.
        family: the game's family.
        model: the SB3 algorithm.
        games: the games that it has finished.
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
        """The network's next observations, (N, C, H, W) uint8."""
        return torch.as_tensor(self.model._last_obs, device=self.model.device)


class Observer(Protocol):
    """Is called with the run after each iteration."""

    def __call__(self, run: Training) -> None:
        """Record what this observer is for, if it is time."""
        ...


class FiniteNumbers:
    """Stops a run whose losses or weights are no longer finite, before anything is saved."""

    def __call__(self, run: Training) -> None:
        """Raise DivergedError if a loss or a weight is not finite."""
        model = run.model
        recorded = model.logger.name_to_value
        require_finite_update(model.policy, recorded, run.observations, run.step)


class Progress:
    """Shows the progress of the run to the user."""

    def __init__(self, report: ProgressReport) -> None:
        self._report = report

    def __call__(self, run: Training) -> None:
        """Update the progress bar."""
        score = run.games.score
        self._report.update(run.step, "" if score is None else f"score {score:.1f}")


class Curves:
    """Writes scores and losses to TensorBoard."""

    def __init__(self, writer: RunWriter, report: ProgressReport) -> None:
        self._writer, self._report = writer, report

    def __call__(self, run: Training) -> None:
        """Write at fixed steps, whether or not the run was interrupted."""
        if not run.passed(STEPS_BETWEEN_LOGS) and not run.is_complete:
            return
        model, step, score = run.model, run.step, run.games.score
        normalized = None if score is None else run.family.human_normalized(run.config.game, score)
        self._writer.scalars(
            step,
            {
                SCORE: score,
                NORMALIZED: normalized,
                "score/game_length": run.games.length,
                "score/games": float(run.games.count),
                "time/steps_per_second": self._report.per_second,
                "time/hours": run.games.seconds / 3600,
            },
        )
        self._writer.losses(step, model.logger.name_to_value)
        model.logger.dump(step)


class Layers:
    """Writes how much each layer uses position, to TensorBoard and to the run's files.

    Args:
        writer: the run's TensorBoard writer.
        folder: the run's folder, without measurements after the run's current step.
    """

    def __init__(self, writer: RunWriter, folder: RunFolder) -> None:
        self._writer, self._folder = writer, folder
        self._has_started = folder.layers_file.exists()

    def __call__(self, run: Training) -> None:
        """Measure at the start, at the end, and at fixed steps in between."""
        step, last = run.step, run.is_complete
        keeps_maps = (
            not self._has_started
            or last
            or run.passed(run.config.total_steps // WHERE_MAPS_OF_A_RUN)
        )
        if not keeps_maps and not run.passed(STEPS_BETWEEN_LAYERS):
            return
        self._has_started = True
        measured = measured_layers(run.model.policy, run.observations())
        if not measured:
            return
        self._writer.layers(step, measured)
        with closing(layer_log(self._folder)) as log:
            log.append(
                *(LayerUse(step, layer.name, layer.translation_dependence) for layer in measured)
            )
        if keeps_maps:
            maps = {layer.name: layer.where_map for layer in measured}
            write_where_maps(self._folder, step, maps)


class Evaluations:
    """Plays whole unclipped games without changing training's own games or random streams."""

    def __init__(self, writer: RunWriter, stop: Callable[[], bool]) -> None:
        self._writer, self._stop = writer, stop

    def __call__(self, run: Training) -> None:
        """Play, if it is time."""
        if run.passed(run.config.eval_every):
            with torch.random.fork_rng():  # a custom network may draw random numbers
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
            return  # a stop was requested; an incomplete evaluation would favor short games
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
        writer: the run's TensorBoard writer, whose events are synced before each checkpoint.
        run: the run; buffers that are not finite yet, such as masks, may stay so.
        resumes: how often the run was resumed.
        last: step of the checkpoint that the run continues from; None for a new run.
    """

    def __init__(
        self, writer: RunWriter, run: Training, resumes: int, last: int | None = None
    ) -> None:
        self._writer, self._resumes, self._last = writer, resumes, last
        self._finite_buffers = finite_buffers(run.model.policy)

    def __call__(self, run: Training) -> None:
        """Write a checkpoint, if it is time."""
        if run.passed(run.config.checkpoint_every):
            self.write(run)

    def write_if_new(self, run: Training) -> None:
        """Write a checkpoint unless this step has one."""
        if run.step != self._last:
            self.write(run)

    def write(self, run: Training) -> None:
        """Write a checkpoint.

        Raises:
            DivergedError: a number in it is not finite.
            CannotWriteError: it cannot be written; the older checkpoints are unchanged.
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
