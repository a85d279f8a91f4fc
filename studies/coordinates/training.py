"""One network on one of the three tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studies.coordinates.arrays import Snapshots, final_arrays
from studies.coordinates.settings import Settings
from studies.coordinates.tasks import TASKS, Task
from studies.folder import ExperimentFolder
from studies.schedule import adam
from studies.training import Arrays, Experiment, curve_columns

TRAIN_SAMPLE = 256  # training positions evaluated during training; at the end, all of them
BETAS = (0.9, 0.99)


class CoordinatesExperiment(Experiment):
    """A network, its positions and the state of its training.

    Args:
        settings: the complete settings.
    """

    columns = ("loss", "train", "test", "perfect")
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        training = settings.training
        train, test = settings.data.split(settings.split, settings.seed)
        super().__init__(
            settings, len(train), training.batch_size, training.epochs, training.schedule
        )
        self.task: Task = TASKS[settings.task](settings.data, training.intermediate_loss)
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
        kernels = [p for p in self.network.parameters() if p.dim() > 1]
        others = [p for p in self.network.parameters() if p.dim() <= 1]
        rate = training.learning_rate
        self.optimizer = adam(
            [
                {"params": kernels, "lr": rate, "weight_decay": training.l2},
                {"params": others, "lr": rate},
            ],
            BETAS,
        )
        self._sample = self._some_training_positions()

    def gradient_step(self) -> dict[str, Tensor]:
        """Do one gradient step on the task's loss."""
        loss = self.task.loss(self.network, self.train_positions[self.batch()])
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {"loss": loss.detach()}

    def scores(self, positions: Tensor) -> Tensor:
        """(N,) on the CPU: the task's score of each position."""
        outputs = self.task.outputs(self.network, positions)
        return torch.cat([self.task.scores(output, some) for some, output in outputs]).cpu()

    def evaluate(self) -> dict[str, float]:
        """Mean scores on some training positions and on all test positions."""
        test = self.scores(self.test_positions)
        return {
            "train": self.scores(self._sample).mean().item(),
            "test": test.mean().item(),
            "perfect": int(self.task.is_perfect(test)),
        }

    def note(self, row: dict[str, float]) -> str:
        """Format the test score."""
        return f"{self.task.measure} {row['test']:.3f}"

    def prepare(self, folder: ExperimentFolder) -> None:
        """Restore the snapshots of an interrupted experiment."""
        self._snapshots = Snapshots(self.task, self.network, self.test_positions, self.total_steps)
        if self.step:
            self._snapshots.restore(folder)

    def observe(self) -> None:
        """Take a snapshot if one is due."""
        self._snapshots.take(self.step, self.is_over)

    def observed(self) -> Arrays:
        """The snapshots."""
        return self._snapshots.arrays()

    def arrays(self) -> Arrays:
        """The trained network's outputs at every position."""
        return final_arrays(self.task, self.network, self.train_positions, self.test_positions)

    def result(self) -> dict[str, Any]:
        """Scores on all positions, and the time at which all were correct."""
        task = self.task
        train, test = self.scores(self.train_positions), self.scores(self.test_positions)
        best = (max if task.higher_is_better else min)(self.curve, key=lambda row: row["test"])
        return {
            "measure": task.measure,
            "train_positions": len(train),
            "test_positions": len(test),
            "train": train.mean().item(),
            "test": test.mean().item(),
            "worst_test": (test.min() if task.higher_is_better else test.max()).item(),
            "perfect": task.is_perfect(test),
            "best_test": best["test"],
            "seconds_to_best_test": best["seconds"],
            "seconds_to_perfect": _time_from_which_perfect(self.curve),
        }

    def _some_training_positions(self) -> Tensor:
        everywhere = self.train_positions
        chosen = np.random.default_rng(self.settings.seed).permutation(len(everywhere))
        return everywhere[torch.from_numpy(chosen[:TRAIN_SAMPLE]).to(everywhere.device)]


CURVE = curve_columns(CoordinatesExperiment)


def _time_from_which_perfect(curve: Sequence[Mapping[str, float]]) -> float | None:
    """Seconds from which every evaluation, up to the last, had all positions correct."""
    since = None
    for row in reversed(curve):
        if not row["perfect"]:
            break
        since = row["seconds"]
    return since
