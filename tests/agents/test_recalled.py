"""A forward pass that play made has the values and the gradients of a new one."""

from __future__ import annotations

import pytest
import torch
from stable_baselines3.common.torch_layers import NatureCNN
from torch import Tensor

from agents.recalled import PlayedPasses, can_be_recalled
from policies import ARMS, AtariPolicy, policy_kwargs
from tests.policies.test_extractors import ACTIONS, SCREEN, images
from tests.policies.test_precision import gradients, make

RECALLED = [
    "nature",
    "coordconv",
    "coordconv-first",
    "coordconv-r",
    "coordconv-zero",
    "control-noise",
    "nature-gap",
    "coordconv-gap",
    "control-noise-gap",
]


def played(policy: AtariPolicy, screens: Tensor) -> PlayedPasses:
    """The passes of two steps of three environments, which are played in two batches."""
    passes = PlayedPasses(policy, steps=2, environments=3)
    with torch.no_grad(), policy.playing(), passes.recording(screens[:1]):
        for step, rows in enumerate(screens.view(2, 3, *screens.shape[1:])):
            for part in (slice(0, 2), slice(2, 3)):
                policy.logits_and_values(rows[part])
                passes.store(step, part)
    return passes


@pytest.mark.parametrize("name", RECALLED)
def test_gradients_are_those_of_a_pass_made_anew(name: str) -> None:
    policy, screens = make(name, "float32"), images(6)
    assert can_be_recalled(policy)
    expected_outputs = policy.evaluate_actions(screens, torch.arange(6))
    expected = gradients(policy, screens)
    with played(policy, screens).recalling():
        outputs = policy.evaluate_actions(screens, torch.arange(6))
        recalled = gradients(policy, screens)
    for mine, other in zip(outputs, expected_outputs, strict=True):
        torch.testing.assert_close(mine, other)
    for (parameter, _), mine, other in zip(
        policy.named_parameters(), recalled, expected, strict=True
    ):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5, msg=parameter)
        assert other.abs().max() > 0, parameter


@pytest.mark.parametrize("name", RECALLED)
def test_bfloat16_passes_are_kept_as_they_were_played(name: str) -> None:
    policy, screens = make(name), images(6)
    values, log_probs, _ = policy.evaluate_actions(screens, torch.arange(6))
    expected = gradients(policy, screens)
    with played(policy, screens).recalling():
        kept_values, kept_log_probs, _ = policy.evaluate_actions(screens, torch.arange(6))
        recalled = gradients(policy, screens)
    torch.testing.assert_close(kept_values, values, rtol=0, atol=1e-5)
    torch.testing.assert_close(kept_log_probs, log_probs, rtol=0, atol=1e-5)
    for mine, other in zip(recalled, expected, strict=True):
        assert (mine - other).norm() < 0.02 * other.norm()


def test_passes_are_used_inside_and_forgotten_afterwards() -> None:
    policy, screens, others = make("coordconv", "float32"), images(6), images(6) // 2
    passes = played(policy, screens)
    with torch.no_grad():
        expected, of_others = policy.predict_values(screens), policy.predict_values(others)
        with passes.recalling():  # whatever is looked at
            torch.testing.assert_close(policy.predict_values(others), expected)
        torch.testing.assert_close(policy.predict_values(others), of_others)


@pytest.mark.parametrize("name", sorted(set(ARMS) - set(RECALLED)))
def test_other_networks_are_not_recalled(name: str) -> None:
    assert not can_be_recalled(make(name, "float32"))


def test_a_users_trunk_is_not_recalled() -> None:
    kwargs = {**policy_kwargs("nature"), "features_extractor_class": NatureCNN}
    assert not can_be_recalled(AtariPolicy(SCREEN, ACTIONS, lambda _: 0.0, **kwargs))
