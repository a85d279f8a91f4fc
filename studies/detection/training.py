"""Train a region-proposal network on images of scattered digits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from files.events import EventWriter
from studies.detection.boxes import iou, moved
from studies.detection.digits import digest, load_digits
from studies.detection.matching import losses, sample
from studies.detection.measures import Fit, Proposed, fit, fit_of_the_truth, proposed
from studies.detection.network import Proposals, RegionProposalNetwork
from studies.detection.pictures import with_boxes
from studies.detection.settings import Settings
from studies.schedule import adam
from studies.training import Arrays, Experiment, curve_columns

BETAS = (0.9, 0.99)
EVALUATION_BATCH = 32
TRAIN_SAMPLE = 200  # training images evaluated during training
N_EXAMPLES = 6
# Added to the experiment's seed, so that test images are drawn independently of training images.
TEST_SEED = 2**32
MEASURES = ("average", "best", "found")
DIGEST = "digits_sha256"


class DetectionExperiment(Experiment):
    """A network, its images and the state of its training.

    Args:
        settings: the complete settings.

    Raises:
        UserError: MNIST's files were requested and cannot be read.
    """

    columns = (
        "loss",
        "move_loss",
        "score_loss",
        "positive_iou",
        *(f"{part}_{name}" for part in ("train", "test") for name in MEASURES),
    )
    evaluations = 12
    settings: Settings
    network: RegionProposalNetwork

    def __init__(self, settings: Settings) -> None:
        training = settings.training
        super().__init__(
            settings,
            training.train_images,
            training.batch_size,
            training.epochs,
            training.schedule,
        )
        train, test = load_digits(settings.source)
        self.data_digest = digest((train, test))
        self.train_images, self.train_boxes = settings.data.images(
            train, training.train_images, settings.seed
        )
        self.test_images, self.test_boxes = settings.data.images(
            test, training.test_images, settings.seed + TEST_SEED
        )
        torch.manual_seed(settings.seed)
        network = RegionProposalNetwork(settings.model, settings.canvas, training.width)
        # Convolutions with few channels on few threads run faster in this layout.
        network.features.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.to(self.device)
        self.optimizer = adam(
            [{"params": list(network.parameters()), "lr": training.learning_rate}], BETAS
        )

    def gradient_step(self) -> dict[str, Tensor]:
        """Do one gradient step on the losses of the moves and scores of freshly drawn boxes."""
        which = self.batch().cpu()
        digits = self.train_boxes[which].to(self.device)
        outputs = self._outputs(self.train_images[which])
        with torch.no_grad():
            boxes = moved(self.network.anchors, outputs.moves)
            ious = iou(boxes, digits)
            samples = sample(ious, boxes, self.settings.canvas, self.noise())
            pairs = ious.flatten(1).gather(1, samples.positive * digits.shape[1] + samples.digit)[
                samples.positive_there
            ]
        moves_loss, scores_loss = losses(outputs, self.network.anchors, digits, samples)
        loss = moves_loss + scores_loss
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return {
            "loss": loss.detach(),
            "move_loss": moves_loss.detach(),
            "score_loss": scores_loss.detach(),
            "positive_iou": pairs.mean(),
        }

    def _outputs(self, images: Tensor) -> Proposals:
        outputs: Proposals = self.network(images.to(self.device).float() / 255)
        return outputs

    def proposals(self, images: Tensor) -> Proposed:
        """The network's proposals for (N, 1, canvas, canvas) uint8 images, on the CPU."""
        self.network.eval()
        with torch.no_grad():
            found = [
                proposed(self._outputs(some), self.network.anchors)
                for some in torch.split(images, EVALUATION_BATCH)
            ]
        self.network.train()
        names = ("boxes", "scores", "there")
        return Proposed(*(torch.cat([getattr(f, name) for f in found]).cpu() for name in names))

    def _fit(self, images: Tensor, boxes: Tensor) -> Fit:
        found = self.proposals(images)
        return fit(found.boxes, found.there, boxes)

    def evaluate(self) -> dict[str, float]:
        """Mean fits of the proposals on some training images and on all test images."""
        train = self._fit(self.train_images[:TRAIN_SAMPLE], self.train_boxes[:TRAIN_SAMPLE])
        test = self._fit(self.test_images, self.test_boxes)
        return {**_means("train", train), **_means("test", test)}

    def note(self, row: dict[str, float]) -> str:
        """Format the test IoU."""
        return f"IoU average {row['test_average']:.3f}, best {row['test_best']:.3f}"

    def log(self, events: EventWriter) -> None:
        """Log images with the digits' boxes and the proposed boxes."""
        some = self.test_images[:N_EXAMPLES]
        events.images("boxes", with_boxes(some, self.test_boxes, self.proposals(some)), self.step)

    def result(self) -> dict[str, Any]:
        """The digits' digest, mean fits of the proposals on all images, and of their own boxes."""
        parts = {
            "train": self._fit(self.train_images, self.train_boxes),
            "test": self._fit(self.test_images, self.test_boxes),
            "perfect": fit_of_the_truth(self.test_boxes),
        }
        means = {key: value for part in parts for key, value in _means(part, parts[part]).items()}
        return {DIGEST: self.data_digest, **means}

    def arrays(self) -> Arrays:
        """Some test images, their digits' boxes and the network's proposals."""
        images, boxes = self.test_images[:N_EXAMPLES], self.test_boxes[:N_EXAMPLES]
        found = self.proposals(images)
        return {
            "images": images[:, 0].numpy(),
            "boxes": boxes.numpy(),
            "proposals": found.boxes.numpy(),
            "scores": found.scores.masked_fill(~found.there, 0.0).numpy(),
        }


CURVE = curve_columns(DetectionExperiment)


def _means(part: str, fits: Fit) -> dict[str, float]:
    return {f"{part}_{name}": getattr(fits, name).mean().item() for name in MEASURES}
