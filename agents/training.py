"""Training a run from its first step to its last, through any number of interruptions."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from agents.agent import PolicyAgent
from agents.build import Algorithm, bears_threads, build_model
from agents.divergence import (
    DivergedError,
    finite_buffers,
    require_finite_buffers,
    require_finite_optimizer,
    require_finite_update,
)
from agents.memory import keep_freed_memory, share_one_heap
from agents.play import TRAINING_EVALUATION_SEEDS_FROM, evaluation_seeds, play_games
from agents.rollout import suitable_batches
from agents.tensorboard import EVALUATION, NORMALISED, SCORE, RunWriter
from agents.watch import FRAMES_PER_SECOND, watch_game
from cli.errors import UserError
from cli.progress import ProgressReport
from envs import AtariVecEnv, human_normalised
from files.durable import CannotWriteError
from files.lock import exclusive
from policies.products import fast_products
from records.checkpoint import TrainingState, load_optimizer, load_policy, load_state
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import (
    clear_leftovers,
    find_checkpoint,
    list_checkpoints,
    save_checkpoint,
    set_damaged_aside,
)
from records.random_states import random_states, restore_random_states
from records.rows import EPISODE_COLUMNS, EVALUATION_COLUMNS, CsvLog, drop_rows_after, read_csv

# Losses and speed are written about this often; A2C updates every 80 steps.
STEPS_BETWEEN_LOGS = 2_048
LOGS_BETWEEN_COORDINATES = 8
SCORES_AVERAGED = 100
# A handful of lucky first games does not make the best checkpoint.
GAMES_OF_A_SCORE = 20
# On two cores a single run is fastest on both (docs/performance.md). A machine with dozens of them
# would part a minibatch of 256 into crumbs: whoever wants that says --threads.
MOST_THREADS = 8
CLIP_STEPS = 20 * FRAMES_PER_SECOND


@dataclass(frozen=True)
class Outcome:
    """How training ended: agent steps done, whether that is all of them, speed, last score."""

    step: int
    finished: bool
    steps_per_second: float
    score: float | None


def train(config: RunConfig, folder: RunFolder, *, resume: bool = False) -> Outcome:
    """Train a run to its last step, or until Ctrl-C or SIGTERM asks it to stop.

    Asked to stop, it finishes the update at hand, writes a checkpoint and returns.

    Of a damaged checkpoint the one before it takes the place, and stderr says so.

    Args:
        config: the run.
        folder: its folder, newly created, or with `resume` holding a checkpoint.
        resume: continue from the newest checkpoint. Weights, optimiser, counters, schedules,
            random streams, TensorBoard and episodes.csv go on where it was; the games that were
            being played cannot be restored and start afresh.

    Raises:
        UserError: the run cannot be built or continued, a file cannot be written, or a number is
            not finite any more; what can be done about it is in the message.
    """
    with exclusive(folder.path), fast_products(), _StopRequest() as stop:
        folder.clear_leftovers()
        clear_leftovers(folder)
        try:
            return _train(config, folder, resume, stop)
        except DivergedError as error:
            raise UserError(
                f"{error}: training was stopped, {_last_good(folder)}; continue from there with "
                f"--resume {folder.path} (it plays other games), or begin again with a lower "
                "--learning-rate"
            ) from error
        except CannotWriteError as error:
            raise UserError(
                f"{error}; {_last_good(folder)}, continue from there with --resume {folder.path}"
            ) from error


def _last_good(folder: RunFolder) -> str:
    found = list_checkpoints(folder)
    return f"the last good checkpoint is {found[-1]}" if found else "there is no checkpoint yet"


def _train(config: RunConfig, folder: RunFolder, resume: bool, stop: _StopRequest) -> Outcome:
    threads = config.threads or min(_usable_cores(), MOST_THREADS)
    torch.set_num_threads(threads)
    share_one_heap()
    if config.algo == "ppo":  # A2C's updates are too small to gain from it
        keep_freed_memory()
    checkpoint, state = None, None
    if resume and (list_checkpoints(folder) or not _is_untouched(folder)):
        checkpoint = find_checkpoint(folder, to_continue=True)
        state = load_state(checkpoint)
        if state.step > config.total_steps:
            raise UserError(f"{checkpoint} is beyond the {config.total_steps:,} steps of its run")
    if resume:
        folder.note_resume(config)
    if checkpoint is not None:
        set_damaged_aside(folder, checkpoint)
    resumes = 0 if state is None else state.resumes + 1
    n_envs = config.n_envs or 1
    batches = suitable_batches(n_envs, threads) if bears_threads(config) else 1
    env = AtariVecEnv(
        config.game,
        n_envs,
        config.protocol,
        seed=config.seed,
        training=True,
        threads=-(-threads // batches),
        batches=batches,
    )
    try:
        model = build_model(config, env)
        if resumes:
            # After SB3, which seeds the environments itself when it is built.
            env.seed(_environment_seed(config.seed, resumes))
        if checkpoint is not None and state is not None:
            _restore(model, checkpoint, state)
        with _Run(config, folder, model, state, resumes, stop) as run:
            return run.to_the_end()
    finally:
        env.close()


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _is_untouched(folder: RunFolder) -> bool:
    """Whether no game was finished yet: a run that was killed at its start begins again."""
    return not folder.episodes_file.exists() or not _last_games(folder.episodes_file)


def _environment_seed(seed: int, resumes: int) -> int:
    """A seed for the emulators: each part of a resumed run plays games of its own."""
    return int(np.random.SeedSequence([seed, resumes]).generate_state(1)[0]) >> 1


def _restore(model: Algorithm, checkpoint: Path, state: TrainingState) -> None:
    load_policy(checkpoint, model.policy)
    load_optimizer(checkpoint, model.policy.optimizer)
    model.num_timesteps = state.step
    model._n_updates = state.updates
    restore_random_states(state.rng)


class _Run(BaseCallback):
    """A run in progress; as SB3's callback it sees every step."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        model: Algorithm,
        state: TrainingState | None,
        resumes: int,
        stop: _StopRequest,
    ) -> None:
        super().__init__()
        self.config, self.folder, self.algorithm, self.resumes = config, folder, model, resumes
        self.first_checkpoint_due = state is None
        step = 0 if state is None else state.step
        self.seconds_before = 0.0 if state is None else state.seconds
        self.games = 0 if state is None else state.games
        self.last_checkpoint = step
        keep = 0 if state is None else state.episodes_bytes
        self.episodes = CsvLog(folder.episodes_file, EPISODE_COLUMNS, keep)
        self.recent = _last_games(folder.episodes_file)
        drop_rows_after(folder.evaluation_file, EVALUATION_COLUMNS, step)
        self.writer = RunWriter(folder.path, config, step)
        self.logs = 0
        self.finite_buffers = finite_buffers(model.policy)
        self.stop = stop
        self.start = time.monotonic()

    def __enter__(self) -> _Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()
        self.episodes.close()

    @property
    def step(self) -> int:
        """Agent steps done."""
        return int(self.algorithm.num_timesteps)

    @property
    def seconds(self) -> float:
        """Wall time of training over all parts of the run."""
        return self.seconds_before + time.monotonic() - self.start

    @property
    def score(self) -> float | None:
        """Mean raw score of the last 100 games."""
        return float(np.mean([game[0] for game in self.recent])) if self.recent else None

    @property
    def game_length(self) -> float | None:
        """Mean length of the last 100 games in agent steps."""
        return float(np.mean([game[1] for game in self.recent])) if self.recent else None

    def to_the_end(self) -> Outcome:
        """The training loop: collect a rollout, learn from it, write down what happened."""
        model, config = self.algorithm, self.config
        total = config.total_steps
        model.set_logger(Logger(None, []))
        model._setup_learn(total - self.step, None, reset_num_timesteps=False)
        self.init_callback(model)
        if self.first_checkpoint_due:
            self._checkpoint()
        title = f"{config.algo} {config.game} {config.extractor} seed {config.seed}"
        with ProgressReport(title, total, self.step) as progress:
            while self.step < total and not self.stop.requested:
                assert model.env is not None
                model.collect_rollouts(model.env, self, model.rollout_buffer, model.n_steps)
                model._update_current_progress_remaining(self.step, total)
                model.train()
                self._require_finite()
                self._write_down(progress)
            if self.step > self.last_checkpoint:
                self._checkpoint()
            speed = progress.per_second
        finished = self.step >= total
        if finished:
            self.folder.finish()
        return Outcome(self.step, finished, speed, self.score)

    def _require_finite(self) -> None:
        model = self.algorithm
        images = model.rollout_buffer.image_rows(0, slice(None))  # type: ignore[attr-defined]
        recorded = model.logger.name_to_value
        require_finite_update(model.policy, recorded, images, self.step)

    def _on_step(self) -> bool:
        for index in np.flatnonzero(self.locals["dones"]):
            record = self.locals["infos"][index].get("episode")
            if record is not None:
                self.games += 1
                self.recent.append((float(record["r"]), int(record["l"])))
                self.episodes.append(
                    (self.step, f"{self.seconds:.2f}", f"{record['r']:.0f}", record["l"])
                )
        return True

    def _write_down(self, progress: ProgressReport) -> None:
        score = self.score
        progress.update(self.step, "" if score is None else f"score {score:.1f}")
        # At the same steps whether or not the run was interrupted.
        if self._passed(STEPS_BETWEEN_LOGS) or self.step >= self.config.total_steps:
            self._log(progress.per_second)
        if self._passed(self.config.eval_every):
            with torch.random.fork_rng():  # somebody's own network may draw random numbers
                self._evaluate()
        if self._passed(self.config.checkpoint_every):
            self._checkpoint()

    def _passed(self, every: int) -> bool:
        """Whether the last rollout crossed a multiple of `every`."""
        before = self.step - self.algorithm.n_steps * self.algorithm.n_envs
        return every > 0 and self.step // every > before // every

    def _log(self, speed: float) -> None:
        model, step, score = self.algorithm, self.step, self.score
        self.writer.scalars(
            step,
            {
                SCORE: score,
                NORMALISED: None if score is None else human_normalised(self.config.game, score),
                "score/game_length": self.game_length,
                "score/games": float(self.games),
                "time/steps_per_second": speed,
                "time/hours": self.seconds / 3600,
            },
        )
        self.writer.losses(step, model.logger.name_to_value)
        model.logger.dump(step)
        if self.logs % LOGS_BETWEEN_COORDINATES == 0:
            images = torch.as_tensor(model._last_obs, device=model.device)
            self.writer.coordinates(step, model.policy, images)
        self.logs += 1

    def _evaluate(self) -> None:
        """Play whole unclipped games; training's own games and random streams are untouched."""
        config, step = self.config, self.step
        agent = PolicyAgent(config.extractor, self.algorithm.policy)  # type: ignore[arg-type]
        seeds = evaluation_seeds(config.eval_episodes, TRAINING_EVALUATION_SEEDS_FROM)
        games = play_games(
            agent,
            config.game,
            config.protocol,
            seeds,
            threads=config.threads,
            stop=lambda: self.stop.requested,
        )
        if len(games) < len(seeds):
            return  # asked to stop: half an evaluation would favour short games
        log = CsvLog(self.folder.evaluation_file, EVALUATION_COLUMNS)
        try:
            log.append(*(game.row(step, agent.mode) for game in games))
        finally:
            log.close()
        mean = float(np.mean([game.score for game in games]))
        self.writer.scalars(step, {EVALUATION: mean})
        moments = islice(watch_game(agent, config.game, config.protocol, seeds[0]), CLIP_STEPS)
        self.writer.clip(step, [moment.screen for moment in moments], FRAMES_PER_SECOND)

    def _checkpoint(self) -> None:
        require_finite_optimizer(self.algorithm.policy, self.algorithm.policy.optimizer, self.step)
        require_finite_buffers(self.algorithm.policy, self.finite_buffers, self.step)
        self.episodes.sync()
        self.writer.sync()
        state = TrainingState(
            step=self.step,
            updates=int(self.algorithm._n_updates),
            seconds=round(self.seconds, 2),
            games=self.games,
            resumes=self.resumes,
            score=self.score if len(self.recent) >= GAMES_OF_A_SCORE else None,
            episodes_bytes=self.episodes.bytes_written,
            rng=random_states(),
        )
        policy = self.algorithm.policy
        save_checkpoint(self.folder, policy, policy.optimizer, state)
        self.last_checkpoint = self.step


class _StopRequest:
    """Ctrl-C and SIGTERM as a request; a second Ctrl-C interrupts at once."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> _StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._request)
            except ValueError:  # not in the main thread: whoever started us decides
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = True


def _last_games(path: Path) -> deque[tuple[float, int]]:
    """Score and length of the last 100 finished games."""
    games: deque[tuple[float, int]] = deque(maxlen=SCORES_AVERAGED)
    for number, row in enumerate(read_csv(path, EPISODE_COLUMNS), start=2):
        try:
            games.append((float(row["score"]), int(row["length"])))
        except (TypeError, ValueError) as error:
            raise UserError(f"{path} is damaged at line {number}: {error}") from error
    return games
