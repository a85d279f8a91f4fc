"""Every arm's policy in tracers and exporters, with gradients enabled."""

from __future__ import annotations

import io
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from policies import ARMS, AtariPolicy, policy_kwargs

from .test_extractors import ACTIONS, SCREEN

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


class Outlook(nn.Module):
    def __init__(self, policy: AtariPolicy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.policy.logits_and_values(images)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS)
def test_traced_and_exported_policies_give_equal_outputs(arm: str) -> None:
    policy: Any = AtariPolicy(SCREEN, ACTIONS, lambda _: 1e-4, **policy_kwargs(arm))
    model = Outlook(policy)
    file: Any = io.BytesIO()
    few, many = (torch.randint(0, 256, (n, 4, 84, 84), dtype=torch.uint8) for n in (2, 5))
    traced = torch.jit.trace(model, few)
    torch.testing.assert_close(traced(many), model(many))
    torch.onnx.export(
        model, (few,), file, dynamo=False, input_names=["images"], dynamic_axes={"images": {0: "n"}}
    )
    logits, values = onnxruntime.InferenceSession(file.getvalue()).run(
        None, {"images": many.numpy()}
    )
    expected = model(many)
    torch.testing.assert_close(torch.from_numpy(logits), expected[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(torch.from_numpy(values), expected[1], rtol=1e-3, atol=1e-4)
    if policy.share_features_extractor:
        graph = torch.fx.symbolic_trace(policy.features_extractor)
        images = policy.scaled(few)
        torch.testing.assert_close(graph(images), policy.features_extractor(images))
