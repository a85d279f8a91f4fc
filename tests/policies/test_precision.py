"""bfloat16 affects only the trunk, equally in acting and learning, real or emulated."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from coordconv import fold_model, translation_dependences
from coordconv.sb3.precision import EmulatedProducts, is_emulated
from policies import ARMS, AtariPolicy, caveat, policy_kwargs

from .test_extractors import ACTIONS, SCREEN, images


class UsersExtractor(BaseFeaturesExtractor):
    """A user's extractor with its own float32 parameters, a normalization and the @ operator."""

    def __init__(self, observation_space: Any) -> None:
        super().__init__(observation_space, 64)
        self.convolution = nn.Conv2d(4, 16, 8, stride=8)
        self.norm = nn.BatchNorm2d(16)
        self.matrix = nn.Parameter(torch.randn(16 * 100, 64) / 40)
        self.scale = nn.Parameter(torch.full((16, 1, 1), 1.5))

    def forward(self, observations: Tensor) -> Tensor:
        x = self.norm(self.convolution(observations)) * self.scale
        return torch.relu(x).flatten(1) @ self.matrix


def make(name: str, precision: Any = "bfloat16") -> AtariPolicy:
    torch.manual_seed(0)
    if name == "own":
        kwargs = {**policy_kwargs("nature", precision), "features_extractor_class": UsersExtractor}
    else:
        kwargs = policy_kwargs(name, precision)
    policy = AtariPolicy(SCREEN, ACTIONS, lambda _: 1e-3, **kwargs)
    policy.set_training_mode(False)
    return policy


def gradients(policy: AtariPolicy, screens: Tensor) -> list[Tensor]:
    values, log_probs, entropy = policy.evaluate_actions(screens, torch.arange(len(screens)) % 6)
    assert entropy is not None
    loss = values.square().mean() - (log_probs * torch.arange(1, len(screens) + 1)).mean()
    return list(torch.autograd.grad(loss + entropy.mean(), list(policy.parameters())))


@pytest.mark.parametrize("name", [*ARMS, "own"])
def test_only_the_trunk_is_rounded(name: str) -> None:
    policy, exact = make(name), make(name, "float32")
    screens = images(6)
    logits, values = policy.logits_and_values(screens)
    assert logits.dtype == values.dtype == torch.float32
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}
    received: list[torch.dtype] = []
    policy.action_net.register_forward_pre_hook(lambda _, args: received.append(args[0].dtype))
    policy.action_logits(screens)
    assert received == [torch.float32]
    with torch.no_grad():
        rounded = policy._features(policy.pi_features_extractor, policy.scaled(screens))
        features = exact._features(exact.pi_features_extractor, exact.scaled(screens))
    assert torch.equal(rounded, rounded.bfloat16().float())
    error = (rounded - features).norm() / features.norm()
    assert 1e-5 < error < 0.03
    mine, other = gradients(policy, screens), gradients(exact, screens)
    assert {gradient.dtype for gradient in mine} == {torch.float32}
    # Compare all parameters together: single small ones in deep trunks differ by a third.
    first, second = (torch.cat([g.flatten() for g in every]) for every in (mine, other))
    assert (first - second).norm() < 0.15 * second.norm()


def test_images_are_rounded_once() -> None:
    policy, exact = make("nature"), make("nature", "float32")
    every_byte = torch.arange(256, dtype=torch.uint8).repeat(4 * 84 * 84 // 256 + 1)
    screens = every_byte[: 4 * 84 * 84].view(1, 84, 84, 4).permute(0, 3, 1, 2)
    for remember in (False, True):
        policy.reuses_memory = remember
        scaled = policy.scaled(screens)
        assert scaled.dtype == torch.bfloat16
        assert scaled.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(scaled, exact.scaled(screens).bfloat16())


@pytest.mark.parametrize("name", [*ARMS, "own"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_playing_changes_no_bit_and_leaves_nothing_behind(name: str, precision: str) -> None:
    policy, screens = make(name, precision), images(5)
    with torch.no_grad():
        expected = policy.logits_and_values(screens)
        for _ in range(2):
            with policy.playing():
                logits, values = policy.logits_and_values(screens)
            assert torch.equal(logits, expected[0])
            assert torch.equal(values, expected[1])
        for parameter in policy.parameters():
            parameter.mul_(1.5)
        expected = policy.logits_and_values(screens)
        with policy.playing():
            assert torch.equal(policy.logits_and_values(screens)[0], expected[0])
    assert "rounded" not in " ".join(policy.state_dict())


@pytest.mark.parametrize("name", ["nature", "coordconv", "impala-coordconv"])
def test_emulated_products_are_close_to_torchs(name: str) -> None:
    """Both sum products of rounded operands, but torch may sum in another order."""
    extractor, x = make(name, "float32").features_extractor, torch.rand(3, 4, 84, 84).bfloat16()
    results = []
    for emulated in (False, True):
        extractor.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            if emulated:
                with EmulatedProducts():
                    features = extractor(x)
            else:
                features = extractor(x)
        features.float().square().sum().backward()
        results.append([features, *(parameter.grad for parameter in extractor.parameters())])
    assert results[0][0].dtype == results[1][0].dtype == torch.bfloat16
    for real, emulation in zip(*results, strict=True):
        assert (real - emulation).float().norm() < 0.04 * real.float().norm()


def test_operators_are_emulated_like_functions() -> None:
    a, b = torch.rand(5, 7), torch.rand(7, 3)
    with EmulatedProducts():
        product = a @ b
        also = a.matmul(b)
    assert torch.equal(product, (a.bfloat16().float() @ b.bfloat16().float()).bfloat16())
    assert torch.equal(also, product)


def test_folded_layers_give_nearly_equal_features() -> None:
    policy, screens = make("coordconv-r"), images(4)
    folded = fold_model(policy, screens)
    with torch.no_grad():
        mine, other = (
            p._features(p.pi_features_extractor, p.scaled(screens)) for p in (folded, policy)
        )
    assert (mine - other).norm() < 0.01 * other.norm()  # the folded map is computed in float32


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_policy_that_is_playing_can_be_folded_and_played(precision: Any) -> None:
    policy = AtariPolicy(SCREEN, ACTIONS, lambda _: 1e-3, **policy_kwargs("coordconv", precision))
    images = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    with torch.no_grad(), policy.playing():
        expected = policy.logits_and_values(images)
        folded: Any = fold_model(policy, images)
    # A folded map is exact, but a map computed in bfloat16 is rounded.
    near: dict[str, Any] = {"rtol": 0, "atol": 1e-5 if precision == "float32" else 0.02}
    with torch.no_grad():
        for _ in range(2):
            torch.testing.assert_close(folded.logits_and_values(images), expected, **near)
            with folded.playing():
                torch.testing.assert_close(folded.logits_and_values(images), expected, **near)
        # The folded policy uses its own weights, not what the original kept for playing.
        nn.init.zeros_(folded.features_extractor.linear.weight)
        nn.init.zeros_(folded.features_extractor.linear.bias)
        blind = folded.action_net.bias.expand(2, -1), folded.value_net.bias.expand(2, -1)
        torch.testing.assert_close(folded.logits_and_values(images), blind)


def test_translation_dependence_is_measured_on_what_the_layers_see() -> None:
    screens = images(4)
    rounded = translation_dependences(make("coordconv"), screens)
    exact = translation_dependences(make("coordconv", "float32"), screens)
    assert len(rounded) == 3
    assert rounded == pytest.approx(exact, rel=0.05)


def test_a_machine_without_bfloat16_gets_a_warning() -> None:
    cpu = torch.device("cpu")
    assert caveat("float32", cpu) is None
    warning = caveat("bfloat16", cpu)
    assert (warning is not None) == is_emulated("cpu")
    if warning is not None:
        assert "only emulates bfloat16" in warning
        assert "\n" not in warning


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ValueError, match="float32, bfloat16, got 'float16'"):
        make("nature", "float16")


@pytest.mark.slow
def test_an_import_changes_no_setting_of_the_process() -> None:
    code = """
import torch
def settings():
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return (getattr(matmul, "fp32_precision", None), torch.get_float32_matmul_precision(),
            torch.get_num_threads(), torch.is_autocast_enabled("cpu"), torch.get_default_dtype())
before = settings()
import coordconv, policies, agents.training, evaluation.score
assert settings() == before, (before, settings())
"""
    subprocess.run([sys.executable, "-c", code], check=True)
