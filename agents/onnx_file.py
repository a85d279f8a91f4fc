"""Export a whole trained agent as one ONNX file, for programs without torch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from agents.agent import require_trusted_extractor
from agents.build import build_network
from cli.errors import UserError
from coordconv import fold_model
from envs.family import FAMILIES
from files.durable import write_new
from policies import AtariPolicy
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint

INPUT, OUTPUTS = "images", ("logits", "probabilities", "value")


class WholeAgent(nn.Module):
    """Maps uint8 images (N, C, H, W) to logits, probabilities (N, actions) and values (N,)."""

    def __init__(self, policy: AtariPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The agent's outputs for images."""
        logits, values = self.policy.logits_and_values(images)
        return logits, torch.softmax(logits, dim=1), values.squeeze(1)


def export_onnx(
    path: Path, file: Path, *, checkpoint: str = "newest", trusted: Collection[str] = ()
) -> Path:
    """Write an agent as an ONNX file with a free batch size.

    Where-maps are constants in it. An agent that was trained in bfloat16 computes in float32 there,
    because onnxruntime has no bfloat16 convolutions on CPUs.

    Args:
        path: the run folder.
        file: the file to write, which must not exist yet.
        checkpoint: "newest", "best" or a step.
        trusted: custom extractors that may be imported.

    Raises:
        UserError: it is not a run folder, a file of it is damaged, `file` exists or cannot be
            written, ONNX is not installed, or torch cannot export a custom extractor.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise UserError(
            f"--onnx needs the package {error.name}: pip install onnx onnxscript"
        ) from error
    folder, config = RunFolder.open(path)
    require_trusted_extractor(config, trusted, path)
    chosen = open_checkpoint(folder, checkpoint)
    policy = build_network(config.replaced(precision="float32"))
    chosen.load_policy(policy)
    family = FAMILIES.find(config.family)
    # Two images, because exporters treat a batch size of one as a constant.
    images = torch.zeros(2, *family.observation_shape(config.protocol), dtype=torch.uint8)
    agent = fold_model(WholeAgent(policy), images)
    model = _export(agent, images, config.extractor)
    onnx.helper.set_model_props(
        model,
        {
            "game": config.game,
            "protocol": config.protocol,
            "actions": ", ".join(family.action_meanings(config.game)),
            "input": family.observation_in_words(config.protocol),
            "algorithm": config.algo,
            "extractor": config.extractor,
            "seed": str(config.seed),
            "steps": str(chosen.state.step),
            "trained_in": config.precision,
        },
    )
    write_new(file, model.SerializeToString())
    return file


def _export(agent: nn.Module, images: Tensor, extractor: str) -> Any:
    """The ONNX model, without its metadata."""
    sizes = ({0: torch.export.Dim("n")},)
    try:
        with _quiet():
            program = torch.onnx.export(
                agent,
                (images,),
                dynamo=True,
                dynamic_shapes=sizes,
                input_names=[INPUT],
                output_names=OUTPUTS,
                verbose=False,
            )
    except Exception as error:  # a custom extractor may contain anything
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise UserError(f"torch cannot export {extractor} to ONNX: {reason}") from error
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A context in which the exporter's own messages are not shown."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
