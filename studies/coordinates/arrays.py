"""The arrays that an experiment's figures are drawn from, small enough to be committed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from studies.coordinates.tasks import Classification, Regression, Rendering, Task
from studies.folder import ARRAYS, ExperimentFolder, read_arrays
from studies.training import Arrays

N_EXAMPLES = 6
# When one example's logits are kept, as fractions of all steps: they change most at the start.
SNAPSHOT_SHARES = (0.0, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Snapshots:
    """The logits of one test position in the course of training.

    Args:
        task: the network's task; a regression draws no logits, so nothing is kept.
        network: the network in training.
        test_positions: (N, 2); the middle one is the example.
        total_steps: number of steps of the training.
    """

    def __init__(
        self, task: Task, network: nn.Module, test_positions: Tensor, total_steps: int
    ) -> None:
        self._task, self._network = task, network
        self._steps: list[int] = []
        self._logits: list[NDArray[np.float16]] = []
        middle = len(test_positions) // 2
        self._example = test_positions[middle : middle + 1]
        self._wanted: set[int] = set()
        if not isinstance(task, Regression):
            self._wanted = {round(share * total_steps) for share in SNAPSHOT_SHARES}

    def restore(self, folder: ExperimentFolder) -> None:
        """Load the snapshots of an interrupted experiment from its folder, if any."""
        if self._wanted and (folder.path / ARRAYS).exists():
            before = read_arrays(folder.path, ("snapshot_steps", "snapshot_logits"))
            self._steps = [int(step) for step in before["snapshot_steps"]]
            self._logits = list(before["snapshot_logits"])

    def take(self, step: int, is_last: bool) -> None:
        """Keep the logits if a snapshot is due at this step."""
        now = step in self._wanted or (self._wanted and is_last)
        if now and step not in self._steps:
            ((_, output),) = self._task.outputs(self._network, self._example)
            self._steps.append(step)
            self._logits.append(output[0, 0].float().cpu().numpy().astype(np.float16))

    def arrays(self) -> Arrays:
        """`snapshot_steps` (k,), `snapshot_logits` (k, canvas, canvas), `snapshot_position` (2,).

        Empty without snapshots.
        """
        if not self._steps:
            return {}
        return {
            "snapshot_steps": np.array(self._steps),
            "snapshot_logits": np.stack(self._logits),
            "snapshot_position": self._example[0].cpu().numpy(),
        }


def final_arrays(
    task: Task, network: nn.Module, train_positions: Tensor, test_positions: Tensor
) -> Arrays:
    """Evaluate the trained network at every position.

    Args:
        task: the task that the network was trained on.
        network: the trained network.
        train_positions: (N, 2).
        test_positions: (N, 2).

    Returns:
        `train_positions` and `test_positions` (N, 2) with `train_scores` and `test_scores` (N,).
        For regression also `train_predictions` and `test_predictions` (N, 2), (row, column) in
        pixels. For the other tasks `train_sum` and `test_sum` (canvas, canvas), the probability of
        each pixel summed over positions; for rendering `example_positions` (n, 2) and `examples`
        (n, canvas, canvas), the probabilities drawn for some test positions.
    """
    canvas = task.data.canvas
    parts = {"train": train_positions, "test": test_positions}
    found: Arrays = {}
    for part, positions in parts.items():
        scores, predictions = [], []
        total = torch.zeros(canvas, canvas, device=positions.device)
        for some, output in task.outputs(network, positions):
            scores.append(task.scores(output, some))
            if isinstance(task, Classification):
                total += output.flatten(1).softmax(dim=1).sum(dim=0).view(canvas, canvas)
            elif isinstance(task, Rendering):
                total += output.sigmoid().sum(dim=(0, 1))
            else:
                predictions.append(output.flip(1) * canvas)
        found[f"{part}_positions"] = positions.cpu().numpy().astype(np.int16)
        found[f"{part}_scores"] = torch.cat(scores).cpu().numpy()
        if predictions:
            found[f"{part}_predictions"] = torch.cat(predictions).cpu().numpy()
        else:
            found[f"{part}_sum"] = total.cpu().numpy()
    if isinstance(task, Rendering):
        found |= _examples(task, network, test_positions)
    return found


def _examples(task: Rendering, network: nn.Module, positions: Tensor) -> Arrays:
    which = torch.linspace(0, len(positions) - 1, N_EXAMPLES, device=positions.device)
    chosen = positions[which.long()]
    drawn = [output for _, output in task.outputs(network, chosen)]
    return {
        "example_positions": chosen.cpu().numpy().astype(np.int16),
        "examples": torch.cat(drawn)[:, 0].sigmoid().cpu().numpy().astype(np.float16),
    }
