"""Train one experiment of any study; it can be resumed from its last evaluation."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from contextlib import closing
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cli.device import resolved_device
from cli.errors import UserError
from cli.progress import ProgressReport
from coordconv.parameters import parameter_count
from files.events import EventWriter
from files.origin import now, origin
from studies.checkpoint import load_checkpoint, save_checkpoint
from studies.folder import ExperimentFolder
from studies.schedule import Schedule, set_learning_rates
from studies.settings import ExperimentSettings

Arrays = dict[str, NDArray[Any]]
COUNTERS = ("step", "epoch", "seconds")  # a curve's first columns


class Experiment(ABC):
    """A study's network and data, and the state of its training.

    A subclass sets `network` and `optimizer` (Adam; each of its groups with an `initial_lr`).
    The randomness of a step depends only on the seed and the step's number, so that a resumed
    experiment ends as if it had not been interrupted.

    Args:
        settings: the complete settings.
        n_examples: examples in an epoch.
        batch_size: examples in a step.
        epochs: length of the training; may be a fraction.
        schedule: learning rate schedule.

    Attributes:
        columns: columns of the curve after step, epoch and seconds: first the losses that
            `gradient_step` returns, then the values that `evaluate` returns.
        evaluations: number of evaluations in a whole run.
    """

    columns: ClassVar[tuple[str, ...]]
    evaluations: ClassVar[int] = 40

    network: nn.Module
    optimizer: torch.optim.Adam

    def __init__(
        self,
        settings: ExperimentSettings,
        n_examples: int,
        batch_size: int,
        epochs: float,
        schedule: Schedule,
    ) -> None:
        self.settings = settings
        self.device = resolved_device(settings.device)
        torch.set_num_threads(settings.threads)
        self.n_examples, self.batch_size, self.schedule = n_examples, batch_size, schedule
        self.steps_per_epoch = math.ceil(n_examples / batch_size)
        self.total_steps = max(1, round(epochs * self.steps_per_epoch))
        self.step = 0
        self.seconds = 0.0
        """Time spent on gradient steps, not counting evaluations."""
        self.wall_seconds = 0.0
        self.curve: list[dict[str, float]] = []
        self.data_digest = ""
        """SHA-256 of data that were read from files: a resumed experiment must find the same."""
        self._order: Tensor | None = None

    @abstractmethod
    def gradient_step(self) -> dict[str, Tensor]:
        """Update the network once and return the losses before the update, each a scalar."""

    @abstractmethod
    def evaluate(self) -> dict[str, float]:
        """Evaluate the network and return finite numbers."""

    @abstractmethod
    def note(self, row: dict[str, float]) -> str:
        """Summarize a row of the curve in a few words, for the progress line."""

    @abstractmethod
    def result(self) -> dict[str, Any]:
        """The study's own entries of `result.json` for the trained network."""

    @abstractmethod
    def arrays(self) -> Arrays:
        """The arrays that the figures of the trained network are drawn from."""

    def prepare(self, folder: ExperimentFolder) -> None:  # noqa: B027 - may be nothing
        """Called once, after a checkpoint was loaded and before the first step."""

    def observe(self) -> None:  # noqa: B027
        """Called before each step, and before an evaluation."""

    def observed(self) -> Arrays:
        """Arrays that `observe` collected; written at every evaluation and at the end."""
        return {}

    def log(self, events: EventWriter) -> None:  # noqa: B027
        """Write images and the like to TensorBoard; called at every evaluation."""

    @property
    def is_over(self) -> bool:
        """Whether all steps are done or the time budget is spent."""
        out_of_time = 0 < self.settings.seconds <= self.seconds
        return self.step >= self.total_steps or out_of_time

    def timed_step(self) -> dict[str, float]:
        """Do one gradient step, add its time to `seconds`, and return the losses before it.

        Raises:
            UserError: a loss is not finite.
        """
        started = time.perf_counter()
        set_learning_rates(self.optimizer, self.schedule, self.step, self.total_steps)
        losses = {name: float(loss) for name, loss in self.gradient_step().items()}
        self.step += 1
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise _diverged(self, name, loss)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds += time.perf_counter() - started
        return losses

    def batch(self) -> Tensor:
        """(batch_size,) int64: indices of the step's examples; an epoch uses each of them once."""
        epoch, within = divmod(self.step, self.steps_per_epoch)
        if within == 0 or self._order is None:
            order = self._rng(epoch).permutation(self.n_examples)
            self._order = torch.from_numpy(order).to(self.device)
        return self._order[within * self.batch_size : (within + 1) * self.batch_size]

    def noise(self) -> torch.Generator:
        """The step's random generator, on the CPU; every call returns it in its initial state."""
        seed = int(self._rng(self.step, 1).integers(2**63))
        return torch.Generator().manual_seed(seed)

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence([self.settings.seed, *numbers]))


def train(experiment: Experiment, folder: ExperimentFolder) -> dict[str, Any]:
    """Train until all epochs are done or the time is spent, and write all files of the folder.

    Args:
        experiment: not yet trained.
        folder: a new folder, or that of the interrupted experiment, which is resumed.

    Returns:
        The content of `result.json`.
    """
    _resume(experiment, folder)
    made_by = origin(("torch", "numpy"), experiment.device)
    experiment.prepare(folder)
    events = EventWriter(folder.path, experiment.step)
    with (
        closing(events),
        ProgressReport(
            experiment.settings.name, experiment.total_steps, experiment.step
        ) as progress,
    ):
        begun = time.perf_counter() - experiment.wall_seconds
        while not experiment.is_over:
            losses = _train_until_evaluation(experiment)
            row = _evaluate(experiment, losses)
            experiment.wall_seconds = time.perf_counter() - begun
            experiment.curve.append(row)
            _record(experiment, folder, events)
            progress.update(experiment.step, experiment.note(row))
    folder.write_arrays({**experiment.observed(), **experiment.arrays()})
    result = {**_result(experiment), **made_by, "ended": now()}
    folder.write_result(result)
    return result


def curve_columns(kind: type[Experiment]) -> tuple[str, ...]:
    """All columns of the curve of a study's experiments."""
    return (*COUNTERS, *kind.columns)


def _train_until_evaluation(experiment: Experiment) -> dict[str, float]:
    """Train until the next evaluation or the end, and return the last losses."""
    every = max(1, round(experiment.total_steps / experiment.evaluations))
    while True:
        experiment.observe()
        losses = experiment.timed_step()
        if experiment.is_over or experiment.step % every == 0:
            experiment.observe()
            return losses


def _diverged(experiment: Experiment, name: str, value: float) -> UserError:
    return UserError(
        f"{experiment.settings.name}: the {name} became {value} at step {experiment.step:,}: "
        "choose a smaller learning rate and another --out"
    )


def _evaluate(experiment: Experiment, losses: dict[str, float]) -> dict[str, float]:
    counters = (
        experiment.step,
        round(experiment.step / experiment.steps_per_epoch, 4),
        round(experiment.seconds, 3),
    )
    row = {**dict(zip(COUNTERS, counters, strict=True)), **losses, **experiment.evaluate()}
    for name, value in row.items():
        if not math.isfinite(value):
            raise _diverged(experiment, name, value)
    return row


def _record(experiment: Experiment, folder: ExperimentFolder, events: EventWriter) -> None:
    row = experiment.curve[-1]
    for name in experiment.columns:
        events.scalar(name, row[name], experiment.step)
    for k, group in enumerate(experiment.optimizer.param_groups):
        events.scalar(f"learning_rate/{k}", group["lr"], experiment.step)
    experiment.log(events)
    events.sync()
    folder.write_curve(experiment.curve)
    folder.write_arrays(experiment.observed())
    counters = {
        "step": experiment.step,
        "seconds": experiment.seconds,
        "wall_seconds": experiment.wall_seconds,
        "curve": experiment.curve,
        "data": experiment.data_digest,
    }
    save_checkpoint(folder.path, experiment.network, experiment.optimizer, counters)


def _resume(experiment: Experiment, folder: ExperimentFolder) -> None:
    counters = load_checkpoint(folder.path, experiment.network, experiment.optimizer)
    if counters is None:
        return
    # A checkpoint from before there was a digest is taken as it is.
    if counters.get("data", experiment.data_digest) != experiment.data_digest:
        raise UserError(
            f"cannot resume from {folder.path}'s checkpoint: it was trained on other data; restore "
            "them, or remove the file to train from the start"
        )
    columns = curve_columns(type(experiment))
    try:
        experiment.step = int(counters["step"])
        experiment.seconds = float(counters["seconds"])
        experiment.wall_seconds = float(counters["wall_seconds"])
        experiment.curve = [{name: row[name] for name in columns} for row in counters["curve"]]
        whole = 0 < experiment.step <= experiment.total_steps and experiment.curve
        numbers = (experiment.seconds, experiment.wall_seconds, *experiment.curve[-1].values())
        if not whole or not all(math.isfinite(number) for number in numbers):
            raise ValueError("impossible counters")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"cannot resume from {folder.path}'s checkpoint: {error!r}; "
            "remove the file to train from the start"
        ) from error


def _result(experiment: Experiment) -> dict[str, Any]:
    return {
        "settings": experiment.settings.model_dump(),
        "parameters": parameter_count(experiment.network),
        **experiment.result(),
        "steps": experiment.step,
        "epochs": experiment.step / experiment.steps_per_epoch,
        "seconds": round(experiment.seconds, 3),
        "wall_seconds": round(experiment.wall_seconds, 3),
    }
