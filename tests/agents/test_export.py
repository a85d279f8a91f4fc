"""A trained agent as a file for other programs."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor

from agents.agent import load_agent
from agents.build import build_network
from agents.onnx_file import export_onnx
from cli.errors import UserError
from envs import AtariVecEnv
from records.kept_checkpoints import open_checkpoint
from tests.agents.conftest import TrainRun


class Unexportable(BaseFeaturesExtractor):
    """Somebody's own network that looks at its numbers in Python."""

    def __init__(self, observation_space: object) -> None:
        super().__init__(observation_space, 8)  # type: ignore[arg-type]
        self.linear = torch.nn.Linear(4, 8)

    def forward(self, observations: Tensor) -> Tensor:
        features: Tensor = self.linear(observations.mean(dim=(2, 3)))
        return features if float(features.sum()) > 0 else -features


def real_frames(game: str, steps: int) -> NDArray[np.uint8]:
    env = AtariVecEnv(game, 3, training=False, threads=1)
    frames = [env.reset()]
    generator = np.random.default_rng(0)
    for _ in range(steps):
        frames.append(env.step(generator.integers(env.action_space.n, size=3))[0])
    env.close()
    return np.concatenate(frames)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_onnx_file_answers_as_the_agent_does(
    trained_run: TrainRun, tmp_path: Path, precision: str
) -> None:
    folder, config, _ = trained_run(precision=precision)
    file = export_onnx(folder.path, tmp_path / "agent.onnx")
    session = onnxruntime.InferenceSession(file.read_bytes())
    policy = build_network(config)
    open_checkpoint(folder).load_policy(policy)
    frames = real_frames("Breakout", 20)
    for images in (frames, frames[:1], frames[5:9]):
        logits, probabilities, values = session.run(None, {"images": images})
        with torch.no_grad():
            expected, expected_values = policy.logits_and_values(torch.from_numpy(images))
        tolerance = 1e-4 if precision == "float32" else 0.05
        np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=tolerance)
        np.testing.assert_allclose(
            probabilities, expected.softmax(dim=1).numpy(), rtol=0, atol=tolerance
        )
        np.testing.assert_allclose(values, expected_values.numpy()[:, 0], rtol=0, atol=tolerance)


@pytest.mark.slow
def test_an_onnx_file_says_what_it_is(trained_run: TrainRun, tmp_path: Path) -> None:
    folder, config, _ = trained_run()
    model = onnx.load(export_onnx(folder.path, tmp_path / "agent.onnx"))
    onnx.checker.check_model(model)
    properties = {p.key: p.value for p in model.metadata_props}
    assert properties["game"] == "Breakout"
    assert properties["protocol"] == config.protocol
    assert properties["actions"] == "NOOP, FIRE, RIGHT, LEFT"
    assert properties["steps"] == open_checkpoint(folder).path.name
    assert properties["extractor"] == "coordconv"
    (images,) = model.graph.input
    shape = [d.dim_param or d.dim_value for d in images.type.tensor_type.shape.dim]
    assert shape[1:] == [4, 84, 84]
    assert isinstance(shape[0], str)
    assert images.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [output.name for output in model.graph.output] == ["logits", "probabilities", "value"]
    # The where-maps are constants: nothing makes coordinates, and nothing convolves them.
    operations = [node.op_type for node in model.graph.node]
    assert not set(operations) & {"Range", "ConstantOfShape", "Expand"}
    assert operations.count("Conv") == 3


@pytest.mark.slow
def test_a_file_that_is_there_is_left_alone(trained_run: TrainRun, tmp_path: Path) -> None:
    folder, _, _ = trained_run(steps=320)
    file = tmp_path / "agent.onnx"
    file.write_text("precious")
    with pytest.raises(UserError, match="exists already: name another file"):
        export_onnx(folder.path, file)
    assert file.read_text() == "precious"


@pytest.mark.slow
def test_somebodys_own_extractor_that_cannot_be_exported(
    trained_run: TrainRun, tmp_path: Path
) -> None:
    name = "tests.agents.test_export:Unexportable"
    folder, _, _ = trained_run(steps=320, extractor=name)
    with pytest.raises(UserError, match="name it with --extractor"):
        export_onnx(folder.path, tmp_path / "agent.onnx")
    with pytest.raises(UserError, match=f"torch cannot export {name} to ONNX: "):
        export_onnx(folder.path, tmp_path / "agent.onnx", trusted=[name])
    assert not (tmp_path / "agent.onnx").exists()
    assert load_agent(folder.path, trusted=[name])
