"""One experiment from its settings to its result, resumable at every evaluation."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from programs.device import resolved_device
from programs.errors import UserError
from programs.events import EventWriter
from programs.origin import now, origin
from programs.progress import ProgressReport
from studies.checkpoint import load_checkpoint, save_checkpoint
from studies.coordinates.arrays import Snapshots, final_arrays
from studies.coordinates.networks import parameter_count
from studies.coordinates.settings import Settings, Training
from studies.coordinates.tasks import TASKS, Task
from studies.folder import ExperimentFolder

EVALUATIONS = 40  # over a whole run
TRAIN_SAMPLE = 256  # training positions looked at on the way; all of them at the end
EVALUATION_BATCH = 8
WARM_UP = 0.05
CURVE = ("step", "epoch", "seconds", "loss", "train", "test", "perfect")


class Experiment:
    """A network, its data and how far its training has come.

    Args:
        settings: complete.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        training = settings.training
        torch.set_num_threads(settings.threads)
        self.device = resolved_device(settings.device)
        self.task: Task = TASKS[settings.task](settings.data, training.intermediate_loss)
        train, test = settings.data.split(settings.split, settings.seed)
        self.train_positions, self.test_positions = train.to(self.device), test.to(self.device)
        torch.manual_seed(settings.seed)
        network = self.task.network(
            settings.model,
            settings.split,
            training.kernel,
            training.multiplier,
            training.initial_scale,
            training.coordinate_scale,
        )
        self.network = network.to(self.device)
        self.optimizer = _adam(self.network, training)
        self.steps_per_epoch = math.ceil(len(train) / training.batch_size)
        self.total_steps = max(1, round(training.epochs * self.steps_per_epoch))
        self.step = 0
        self.seconds = 0.0
        """Spent on gradient steps: the clock stops while the network is evaluated."""
        self.wall_seconds = 0.0
        self.curve: list[dict[str, float]] = []
        self._order: Tensor | None = None

    @property
    def is_over(self) -> bool:
        """Whether all steps are done or all seconds spent."""
        out_of_time = 0 < self.settings.seconds <= self.seconds
        return self.step >= self.total_steps or out_of_time

    def timed_step(self) -> Tensor:
        """One gradient step, whose time `seconds` grows by; returns the loss before it."""
        started = time.perf_counter()
        loss = self._train_step()
        if not loss.isfinite():
            raise UserError(
                f"{self.settings.name}: the loss became {loss.item()} at step {self.step:,}: "
                "choose a smaller --learning-rate and another --out"
            )
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds += time.perf_counter() - started
        return loss

    def _train_step(self) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.settings.training, self.step, self.total_steps)
        loss = self.task.loss(self.network, self._batch())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def _batch(self) -> Tensor:
        """Each epoch goes once through all positions in an order of its own."""
        epoch, within = divmod(self.step, self.steps_per_epoch)
        if within == 0 or self._order is None:
            seed = np.random.SeedSequence([self.settings.seed, epoch])
            order = np.random.default_rng(seed).permutation(len(self.train_positions))
            self._order = torch.from_numpy(order).to(self.device)
        size = self.settings.training.batch_size
        return self.train_positions[self._order[within * size : (within + 1) * size]]

    def outputs(self, positions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The network's evaluation-mode outputs, a few positions at a time, with these."""
        was_training = self.network.training
        self.network.eval()
        with torch.no_grad():
            for some in torch.split(positions, EVALUATION_BATCH):
                yield some, self.network(self.task.inputs(some))
        self.network.train(was_training)

    def scores(self, positions: Tensor) -> Tensor:
        """(N,) on the CPU: the task's score of each position."""
        found = [self.task.scores(output, some) for some, output in self.outputs(positions)]
        return torch.cat(found).cpu()


def train(settings: Settings, folder: ExperimentFolder) -> dict[str, Any]:
    """Train to the end of the epochs or of the seconds, and write all files of the folder.

    Args:
        settings: complete.
        folder: a new one, or one that an interrupted experiment left.

    Returns:
        What `result.json` holds.
    """
    experiment = Experiment(settings)
    _resume(experiment, folder)
    made_by = origin(("torch", "numpy"), experiment.device)
    snapshots = Snapshots(experiment, folder)
    sample = _sample(experiment)
    events = EventWriter(folder.path, experiment.step)
    title = settings.name
    with (
        closing(events),
        ProgressReport(title, experiment.total_steps, experiment.step) as progress,
    ):
        begun = time.perf_counter() - experiment.wall_seconds
        while not experiment.is_over:
            loss = _train_until_evaluation(experiment, snapshots)
            row = _evaluate(experiment, sample, loss)
            experiment.wall_seconds = time.perf_counter() - begun
            experiment.curve.append(row)
            _record(experiment, folder, snapshots, events)
            progress.update(experiment.step, f"{experiment.task.measure} {row['test']:.3f}")
    folder.write_arrays({**snapshots.arrays(), **final_arrays(experiment)})
    result = {**_result(experiment), **made_by, "ended": now()}
    folder.write_result(result)
    return result


def _train_until_evaluation(experiment: Experiment, snapshots: Snapshots) -> float:
    """Steps up to the next evaluation, or to the end; returns the last loss."""
    every = max(1, round(experiment.total_steps / EVALUATIONS))
    while True:
        snapshots.take(experiment)
        loss = experiment.timed_step()
        if experiment.is_over or experiment.step % every == 0:
            snapshots.take(experiment)
            return float(loss)


def learning_rate(training: Training, step: int, total_steps: int) -> float:
    """Of one step, counted from 0."""
    share = step / total_steps
    if training.schedule == "step":
        return training.learning_rate * 0.1 ** int(share * 5)
    if training.schedule == "cosine":
        warm = min(1.0, (step + 1) / (WARM_UP * total_steps))
        return training.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * share))
    return training.learning_rate


def _adam(network: nn.Module, training: Training) -> torch.optim.Adam:
    kernels = [p for p in network.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": kernels, "weight_decay": training.l2},
        {"params": others},
    ]
    return torch.optim.Adam(groups, training.learning_rate, betas=(0.9, 0.99), fused=True)


def _sample(experiment: Experiment) -> Tensor:
    everywhere = experiment.train_positions
    chosen = np.random.default_rng(experiment.settings.seed).permutation(len(everywhere))
    return everywhere[torch.from_numpy(chosen[:TRAIN_SAMPLE]).to(everywhere.device)]


def _evaluate(experiment: Experiment, sample: Tensor, loss: float) -> dict[str, float]:
    test = experiment.scores(experiment.test_positions)
    values = (
        experiment.step,
        round(experiment.step / experiment.steps_per_epoch, 4),
        round(experiment.seconds, 3),
        loss,
        experiment.scores(sample).mean().item(),
        test.mean().item(),
        int(experiment.task.is_perfect(test)),
    )
    return dict(zip(CURVE, values, strict=True))


def _record(
    experiment: Experiment,
    folder: ExperimentFolder,
    snapshots: Snapshots,
    events: EventWriter,
) -> None:
    row = experiment.curve[-1]
    for name in ("loss", "train", "test"):
        events.scalar(name, row[name], experiment.step)
    rate = experiment.optimizer.param_groups[0]["lr"]
    events.scalar("learning_rate", rate, experiment.step)
    events.sync()
    folder.write_curve(experiment.curve)
    folder.write_arrays(snapshots.arrays())
    counters = {
        "step": experiment.step,
        "seconds": experiment.seconds,
        "wall_seconds": experiment.wall_seconds,
        "curve": experiment.curve,
    }
    save_checkpoint(folder.path, experiment.network, experiment.optimizer, counters)


def _resume(experiment: Experiment, folder: ExperimentFolder) -> None:
    counters = load_checkpoint(folder.path, experiment.network, experiment.optimizer)
    if counters is None:
        return
    try:
        experiment.step = int(counters["step"])
        experiment.seconds = float(counters["seconds"])
        experiment.wall_seconds = float(counters["wall_seconds"])
        experiment.curve = [{name: row[name] for name in CURVE} for row in counters["curve"]]
        whole = 0 < experiment.step <= experiment.total_steps and experiment.curve
        numbers = (experiment.seconds, experiment.wall_seconds, *experiment.curve[-1].values())
        if not whole or not all(math.isfinite(number) for number in numbers):
            raise ValueError("impossible counters")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(
            f"cannot go on from {folder.path}'s checkpoint: {error!r}; "
            "remove the file to train from the start"
        ) from error


def _result(experiment: Experiment) -> dict[str, Any]:
    task = experiment.task
    train = experiment.scores(experiment.train_positions)
    test = experiment.scores(experiment.test_positions)
    best = (max if task.higher_is_better else min)(experiment.curve, key=lambda row: row["test"])
    perfect = _time_from_which_perfect(experiment.curve)
    return {
        "settings": asdict(experiment.settings),
        "parameters": parameter_count(experiment.network),
        "measure": task.measure,
        "train_positions": len(train),
        "test_positions": len(test),
        "train": train.mean().item(),
        "test": test.mean().item(),
        "worst_test": (test.min() if task.higher_is_better else test.max()).item(),
        "perfect": task.is_perfect(test),
        "best_test": best["test"],
        "seconds_to_best_test": best["seconds"],
        "seconds_to_perfect": perfect,
        "steps": experiment.step,
        "epochs": experiment.step / experiment.steps_per_epoch,
        "seconds": round(experiment.seconds, 3),
        "wall_seconds": round(experiment.wall_seconds, 3),
    }


def _time_from_which_perfect(curve: Sequence[Mapping[str, float]]) -> float | None:
    """Seconds at the first of the evaluations, up to the last, that had every position right."""
    since = None
    for row in reversed(curve):
        if not row["perfect"]:
            break
        since = row["seconds"]
    return since
