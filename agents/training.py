"""Train a run from its first step to its last, with any number of interruptions."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import Logger

from agents.build import bears_threads, build_model, restore
from agents.divergence import DivergedError
from agents.games import FinishedGames, last_games
from agents.memory import keep_freed_memory, share_one_heap
from agents.observers import (
    Checkpoints,
    Curves,
    Evaluations,
    FiniteNumbers,
    Layers,
    Observer,
    Progress,
    Training,
)
from agents.rollout import suitable_batches
from agents.tensorboard import RunWriter
from cli.errors import UserError
from cli.progress import ProgressReport
from cli.signals import StopRequest
from envs.family import FAMILIES
from files.durable import CannotWriteError
from files.lock import exclusive
from policies.products import fast_products
from records.algorithm import ALGORITHMS
from records.checkpoint import Checkpoint, TrainingState
from records.config import RunConfig
from records.csv_log import drop_rows_after
from records.folder import RunFolder
from records.kept_checkpoints import (
    clear_leftovers,
    list_checkpoints,
    open_checkpoint,
    set_damaged_aside,
)
from records.layers import drop_layers_after
from records.random_states import restore_random_states
from records.rows import EvaluatedGame

# On two cores a single run is fastest with both (docs/performance.md). Dozens of threads would
# split a minibatch of 256 into tiny parts; --threads can still ask for them.
MOST_THREADS = 8


@dataclass(frozen=True)
class Outcome:
    """How training ended: agent steps done, whether those are all, speed, and last score."""

    step: int
    finished: bool
    steps_per_second: float
    score: float | None


def train(config: RunConfig, folder: RunFolder, *, resume: bool = False) -> Outcome:
    """Train a run to its last step, or until Ctrl-C, SIGTERM or SIGHUP asks it to stop.

    When asked to stop, it finishes the current update, writes a checkpoint and returns.

    If the newest checkpoint is damaged, training resumes from the previous one and prints a warning
    on stderr.

    Args:
        config: the run's settings.
        folder: its folder, newly created or, with `resume`, with a checkpoint. A folder that was
            created with ancestors holds the checkpoint that the run starts from.
        resume: continue from the newest checkpoint to the last step of `config`. Weights,
            optimizer, counters, schedules, random streams, TensorBoard and episodes.csv continue
            from there. Games in progress cannot be restored; new games start instead.

    Raises:
        UserError: the run cannot be built or continued, or a file cannot be written.
        DivergedError: a number is no longer finite.
    """
    with exclusive(folder.path), fast_products(), StopRequest() as stop:
        folder.clear_leftovers()
        clear_leftovers(folder)
        try:
            return _train(config, folder, resume, stop)
        except DivergedError as error:
            raise DivergedError(
                f"{error}: training was stopped, {_last_good(folder)}; continue from there with "
                f"--resume {folder.path} (it plays other games), or start a new run with a lower "
                "--learning-rate"
            ) from error
        except CannotWriteError as error:
            raise UserError(
                f"{error}; {_last_good(folder)}; continue from there with --resume {folder.path}"
            ) from error


def _last_good(folder: RunFolder) -> str:
    found = list_checkpoints(folder)
    return f"the last good checkpoint is {found[-1]}" if found else "there is no checkpoint yet"


def _train(config: RunConfig, folder: RunFolder, resume: bool, stop: StopRequest) -> Outcome:
    algorithm, family = ALGORITHMS.find(config.algo), FAMILIES.find(config.family)
    threads = config.threads or min(_usable_cores(), MOST_THREADS)
    torch.set_num_threads(threads)
    share_one_heap()
    if algorithm.keeps_freed_memory:
        keep_freed_memory()
    checkpoint = checkpoint_to_continue(config, folder) if resume else _open_first(folder)
    if resume:
        folder.note_resume(config)
        if checkpoint is not None:
            set_damaged_aside(folder, checkpoint)
    batches = suitable_batches(config.environments, threads) if bears_threads(config) else 1
    env = family.make_vec_env(
        config.game,
        config.environments,
        config.protocol,
        seed=config.seed,
        training=True,
        threads=-(-threads // batches),
        batches=batches,
    )
    try:
        model = build_model(config, env)
        state, resumes = None, 0
        if checkpoint is not None:
            state = checkpoint.state
            restore(config, model, checkpoint)
            if resume:
                resumes = state.resumes + 1
                # After SB3, which seeds the environments itself when the model is built.
                env.seed(_environment_seed(config.seed, resumes))
                restore_random_states(state.rng)
        checkpoint = None  # frees the files that it has read
        return _train_to_end(config, folder, model, state, resumes, stop)
    finally:
        env.close()


def _train_to_end(
    config: RunConfig,
    folder: RunFolder,
    model: Any,
    state: TrainingState | None,
    resumes: int,
    stop: StopRequest,
) -> Outcome:
    """The training loop: play and learn, and call the observers after each iteration."""
    total, iterate = config.total_steps, ALGORITHMS.find(config.algo).iterate
    step = 0 if state is None else state.step
    drop_rows_after(folder.evaluation_file, EvaluatedGame._fields, step)
    drop_layers_after(folder, step)
    with (
        closing(_open_finished_games(folder, state)) as games,
        closing(RunWriter(folder.path, config, step)) as writer,
    ):
        run = Training(config, folder, FAMILIES.find(config.family), model, games)
        model.set_logger(Logger(None, []))
        model._setup_learn(total - step, None, reset_num_timesteps=False)
        games.init_callback(model)
        checkpoints = Checkpoints(writer, run, resumes, None if state is None else state.step)
        checkpoints.write_if_new(run)
        title = f"{config.algo} {config.game} {config.extractor} seed {config.seed}"
        with ProgressReport(title, total, step) as report:
            observers: tuple[Observer, ...] = (
                FiniteNumbers(),
                Progress(report),
                Curves(writer, report),
                Layers(writer, folder),
                Evaluations(writer, lambda: stop.requested),
                checkpoints,
            )
            while not run.is_complete and not stop.requested:
                iterate(model, games)
                for observe in observers:
                    observe(run)
            checkpoints.write_if_new(run)
            speed = report.per_second
        if run.is_complete:
            folder.finish()
        return Outcome(run.step, run.is_complete, speed, games.score)


def checkpoint_to_continue(config: RunConfig, folder: RunFolder) -> Checkpoint | None:
    """The newest checkpoint; None for a run that was killed at its start and starts again.

    Raises:
        UserError: all checkpoints are damaged, or the run has more steps than `config` asks for.
    """
    if not list_checkpoints(folder) and _is_untouched(folder) and not folder.ancestors():
        return None
    checkpoint = open_checkpoint(folder, to_continue=True)
    if checkpoint.state.step > config.total_steps:
        raise UserError(
            f"{folder.path} has already made {checkpoint.state.step:,} steps, so it cannot end at "
            f"{config.total_steps:,}: ask for more with --steps"
        )
    return checkpoint


def _open_first(folder: RunFolder) -> Checkpoint | None:
    """The checkpoint that a new run starts from, if it has ancestors."""
    return open_checkpoint(folder) if folder.ancestors() else None


def _is_untouched(folder: RunFolder) -> bool:
    """Whether no game has finished yet."""
    return not folder.episodes_file.exists() or not last_games(folder.episodes_file)


def _open_finished_games(folder: RunFolder, state: TrainingState | None) -> FinishedGames:
    if state is None:
        return FinishedGames(folder.episodes_file, 0, 0.0, 0)
    return FinishedGames(folder.episodes_file, state.games, state.seconds, state.episodes_bytes)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment_seed(seed: int, resumes: int) -> int:
    """A seed for the emulators: each part of a resumed run plays different games."""
    return int(np.random.SeedSequence([seed, resumes]).generate_state(1)[0]) >> 1
