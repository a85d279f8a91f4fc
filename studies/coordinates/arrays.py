"""What the pictures of an experiment are drawn from, kept small enough to be committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from studies.folder import ARRAYS, ExperimentFolder, read_arrays
from studies.training import Arrays

if TYPE_CHECKING:
    from studies.coordinates.training import CoordinatesExperiment

N_EXAMPLES = 6
# When one example's logits are kept, as a share of all steps: they change most at the start.
SNAPSHOT_SHARES = (0.0, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Snapshots:
    """The logits of one test position as training goes on.

    Args:
        experiment: whose network draws on the canvas; of a regressor nothing is kept.
        folder: where an interrupted experiment left those it had.
    """

    def __init__(self, experiment: CoordinatesExperiment, folder: ExperimentFolder) -> None:
        self._steps: list[int] = []
        self._logits: list[NDArray[np.float16]] = []
        positions = experiment.test_positions
        self._example = positions[len(positions) // 2 : len(positions) // 2 + 1]
        self._wanted: list[int] = []
        if experiment.settings.task != "regression":
            total = experiment.total_steps
            self._wanted = sorted({round(share * total) for share in SNAPSHOT_SHARES})
        if self._wanted and experiment.step and (folder.path / ARRAYS).exists():
            before = read_arrays(folder.path, ("snapshot_steps", "snapshot_logits"))
            self._steps = [int(step) for step in before["snapshot_steps"]]
            self._logits = list(before["snapshot_logits"])

    def take(self, experiment: CoordinatesExperiment) -> None:
        """Keep the logits if now is the time."""
        step = experiment.step
        now = step in self._wanted or (self._wanted and experiment.is_over)
        if now and step not in self._steps:
            ((_, output),) = experiment.outputs(self._example)
            self._steps.append(step)
            self._logits.append(output[0, 0].float().cpu().numpy().astype(np.float16))

    def arrays(self) -> Arrays:
        """`snapshot_steps` (k,), `snapshot_logits` (k, canvas, canvas), `snapshot_position` (2,).

        Empty where there are none.
        """
        if not self._steps:
            return {}
        return {
            "snapshot_steps": np.array(self._steps),
            "snapshot_logits": np.stack(self._logits),
            "snapshot_position": self._example[0].cpu().numpy(),
        }


def final_arrays(experiment: CoordinatesExperiment) -> Arrays:
    """What the trained network does at every position.

    Returns:
        `train_positions` and `test_positions` (N, 2) with `train_scores` and `test_scores` (N,),
        and by task: `train_sum` and `test_sum` (canvas, canvas), the probability that the network
        puts on each pixel, summed over positions; `example_positions` (n, 2) and `examples`
        (n, canvas, canvas), what it draws for some test positions, as probabilities; or
        `train_predictions` and `test_predictions` (N, 2), (row, column) in pixels.
    """
    task, canvas = experiment.settings.task, experiment.settings.canvas
    parts = {"train": experiment.train_positions, "test": experiment.test_positions}
    found: Arrays = {}
    for part, positions in parts.items():
        scores, predictions = [], []
        total = torch.zeros(canvas, canvas, device=experiment.device)
        for some, output in experiment.outputs(positions):
            scores.append(experiment.task.scores(output, some))
            if task == "classification":
                total += output.flatten(1).softmax(dim=1).sum(dim=0).view(canvas, canvas)
            elif task == "rendering":
                total += output.sigmoid().sum(dim=(0, 1))
            else:
                predictions.append(output.flip(1) * canvas)
        found[f"{part}_positions"] = positions.cpu().numpy().astype(np.int16)
        found[f"{part}_scores"] = torch.cat(scores).cpu().numpy()
        if predictions:
            found[f"{part}_predictions"] = torch.cat(predictions).cpu().numpy()
        else:
            found[f"{part}_sum"] = total.cpu().numpy()
    if task == "rendering":
        found |= _examples(experiment)
    return found


def _examples(experiment: CoordinatesExperiment) -> Arrays:
    positions = experiment.test_positions
    chosen = torch.linspace(0, len(positions) - 1, N_EXAMPLES, device=experiment.device).long()
    drawn = [output for _, output in experiment.outputs(positions[chosen])]
    return {
        "example_positions": positions[chosen].cpu().numpy().astype(np.int16),
        "examples": torch.cat(drawn)[:, 0].sigmoid().cpu().numpy().astype(np.float16),
    }
