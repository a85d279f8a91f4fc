"""A kept forward pass has the values and the gradients of a new one."""

from __future__ import annotations

import pytest
import torch
from stable_baselines3.common.torch_layers import NatureCNN
from torch import Tensor

from policies import ARMS, AtariPolicy, policy_kwargs

from .test_extractors import ACTIONS, SCREEN, images, make

RECALLING = ["nature", "coordconv", "coordconv-first", "coordconv-r", "coordconv-zero",
             "control-noise", "nature-gap", "coordconv-gap", "control-noise-gap"]  # fmt: skip


def gradients(policy: AtariPolicy, screens: Tensor) -> list[Tensor]:
    values, log_probs, entropy = policy.evaluate_actions(screens, torch.arange(len(screens)) % 6)
    assert entropy is not None
    loss = values.square().mean() - (log_probs * torch.arange(1, len(screens) + 1)).mean()
    return list(torch.autograd.grad(loss + entropy.mean(), list(policy.parameters())))


@pytest.mark.parametrize("name", RECALLING)
def test_gradients_are_those_of_a_pass_made_anew(name: str) -> None:
    policy, screens = make(name), images(6)
    assert policy.can_recall
    with torch.no_grad():
        parts = [policy.played(part) for part in (screens[:2], screens[2:])]
        logits, values = policy.logits_and_values(screens)
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), logits)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), values)
    kept = [torch.cat(layer) for layer in zip(parts[0][2], parts[1][2], strict=True)]
    expected = gradients(policy, screens)
    with policy.recalling(kept):
        recalled = gradients(policy, screens)
    for (parameter, _), mine, other in zip(
        policy.named_parameters(), recalled, expected, strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5, msg=parameter)
        assert other.abs().max() > 0, parameter


def test_outputs_are_used_and_only_inside() -> None:
    policy, screens = make("coordconv"), images(2)
    with torch.no_grad():
        outputs = policy.played(screens)[2]
        expected = policy.predict_values(screens)
        with policy.recalling([torch.zeros_like(output) for output in outputs]):
            assert (policy.logits_and_values(screens)[1] == policy.value_net.bias).all()
        torch.testing.assert_close(policy.logits_and_values(screens)[1], expected)


@pytest.mark.parametrize("name", sorted(set(ARMS) - set(RECALLING)))
def test_other_networks_are_not_recalled(name: str) -> None:
    assert not make(name).can_recall


def test_a_users_trunk_is_not_recalled() -> None:
    kwargs = {**policy_kwargs("nature"), "features_extractor_class": NatureCNN}
    assert not AtariPolicy(SCREEN, ACTIONS, lambda _: 0.0, **kwargs).can_recall
