"""The three tasks: their inputs, networks, losses and scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from studies.coordinates.data import NotSoClevr, SplitName
from studies.coordinates.networks import (
    CoordConvRenderer,
    Deconvolution,
    coordconv_classifier,
    coordconv_regressor,
    pooled_regressor,
    strided_regressor,
)
from studies.initialization import init_he_normal_
from studies.settings import ModelName

TaskName = Literal["classification", "regression", "rendering"]
EVALUATION_BATCH = 8


class Task(ABC):
    """One task on one canvas. Positions are (N, 2) int64, as in `NotSoClevr`.

    Attributes:
        measure: the quantity that `scores` returns, with its unit.
        higher_is_better: whether a higher score is better.
    """

    measure: ClassVar[str]
    higher_is_better: ClassVar[bool] = True

    def __init__(self, data: NotSoClevr, intermediate_loss: float = 0.0) -> None:
        self.data = data
        self.intermediate_loss = intermediate_loss

    def network(
        self,
        model: ModelName,
        split: SplitName,
        kernel: int = 3,
        multiplier: int = 2,
        initial_scale: float = 1.0,
        coordinate_scale: float = 1.0,
    ) -> nn.Module:
        """Build and initialize the paper's network, in channels-last layout.

        Args:
            model: conv or coordconv.
            split: selects the paper's convolutional regressor, which differs between the splits.
            kernel: kernel size of the deconvolution and of the renderer's painter.
            multiplier: the paper's m, for the same two.
            initial_scale: factor of the He-normal kernels.
            coordinate_scale: additional factor of the coordinates' kernels.
        """
        network = self._build(model, split, kernel, multiplier)
        init_he_normal_(network, initial_scale, coordinate_scale)
        if isinstance(network, CoordConvRenderer):
            init_he_normal_(network.painter)
        # Convolutions with few channels on few threads run up to twice as fast in this layout.
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    @abstractmethod
    def _build(
        self, model: ModelName, split: SplitName, kernel: int, multiplier: int
    ) -> nn.Module: ...

    def inputs(self, positions: Tensor) -> Tensor:
        """The network's inputs: by default the center's coordinates, (N, 2)."""
        return self.data.coordinates(positions)

    def outputs(self, network: nn.Module, positions: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of positions, each with the network's outputs in evaluation mode."""
        was_training = network.training
        network.eval()
        with torch.no_grad():
            for some in torch.split(positions, EVALUATION_BATCH):
                yield some, network(self.inputs(some))
        network.train(was_training)

    def loss(self, network: nn.Module, positions: Tensor) -> Tensor:
        """The training loss, averaged over the batch."""
        return self._loss(network(self.inputs(positions)), positions)

    @abstractmethod
    def _loss(self, output: Tensor, positions: Tensor) -> Tensor: ...

    @abstractmethod
    def scores(self, output: Tensor, positions: Tensor) -> Tensor:
        """(N,) float32: the score of each position, in the unit of `measure`."""

    def is_perfect(self, scores: Tensor) -> bool:
        """Whether every position is correct to the pixel."""
        return bool((scores == 1).all())


class Classification(Task):
    """From coordinates to the one pixel they name."""

    measure = "accuracy"

    def _build(self, model: ModelName, split: SplitName, kernel: int, multiplier: int) -> nn.Module:
        if model == "conv":
            return Deconvolution(self.data.canvas, kernel, multiplier)
        return coordconv_classifier(self.data.canvas)

    def _loss(self, output: Tensor, positions: Tensor) -> Tensor:
        return F.cross_entropy(output.flatten(1), self.data.pixels(positions))

    def scores(self, output: Tensor, positions: Tensor) -> Tensor:
        """1 if the most probable pixel is the correct one, else 0."""
        return (output.flatten(1).argmax(dim=1) == self.data.pixels(positions)).float()


class Rendering(Task):
    """From coordinates to the square around them."""

    measure = "IoU"

    def _build(self, model: ModelName, split: SplitName, kernel: int, multiplier: int) -> nn.Module:
        if model == "conv":
            return Deconvolution(self.data.canvas, kernel, multiplier)
        return CoordConvRenderer(self.data.canvas, kernel, multiplier)

    def loss(self, network: nn.Module, positions: Tensor) -> Tensor:
        """Cross-entropy of each pixel, plus that of the renderer's classifier if weighted."""
        if not self.intermediate_loss or not isinstance(network, CoordConvRenderer):
            return super().loss(network, positions)
        center, output = network.both(self.inputs(positions))
        center_loss = F.cross_entropy(center.flatten(1), self.data.pixels(positions))
        return self._loss(output, positions) + self.intermediate_loss * center_loss

    def _loss(self, output: Tensor, positions: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(output, self.data.squares(positions))

    def scores(self, output: Tensor, positions: Tensor) -> Tensor:
        """IoU of the drawn square (probability above 1/2) and the true one."""
        drawn, true = (output > 0).flatten(1), (self.data.squares(positions) > 0).flatten(1)
        return (drawn & true).sum(dim=1) / (drawn | true).sum(dim=1)


class Regression(Task):
    """From one pixel back to its coordinates."""

    measure = "distance in pixels"
    higher_is_better = False

    def _build(self, model: ModelName, split: SplitName, kernel: int, multiplier: int) -> nn.Module:
        if model == "coordconv":
            return coordconv_regressor()
        return pooled_regressor(self.data.canvas) if split == "uniform" else strided_regressor()

    def inputs(self, positions: Tensor) -> Tensor:
        """(N, 1, canvas, canvas), one-hot."""
        return self.data.one_hot(positions)

    def _loss(self, output: Tensor, positions: Tensor) -> Tensor:
        return F.mse_loss(output, self._targets(positions))

    def _targets(self, positions: Tensor) -> Tensor:
        return positions.flip(1) / self.data.canvas

    def scores(self, output: Tensor, positions: Tensor) -> Tensor:
        """Euclidean distance of the predicted center from the true one, in pixels."""
        error = output - self._targets(positions)
        return error.square().sum(dim=1).sqrt() * self.data.canvas

    def is_perfect(self, scores: Tensor) -> bool:
        """Whether every prediction is within half a pixel of the truth."""
        return bool((scores < 0.5).all())


TASKS: dict[TaskName, type[Task]] = {
    "classification": Classification,
    "regression": Regression,
    "rendering": Rendering,
}
