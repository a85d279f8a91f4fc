"""Every arm of the comparison: equal heads, correct parameter counts and the right layers."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from torch import nn

from coordconv import ConcatCoordConv2d, CoordConv2d, coordconv_layers
from policies import (
    ARMS,
    AtariPolicy,
    NatureExtractor,
    NoiseConv2d,
    UnknownExtractorError,
    check_extractor_name,
    description,
    find_arm,
    parameter_count,
    policy_kwargs,
)

SCREEN = spaces.Box(0, 255, (4, 84, 84), np.uint8)
ACTIONS = spaces.Discrete(6)


def make(name: str, seed: int = 0, screen: spaces.Box = SCREEN) -> AtariPolicy:
    torch.manual_seed(seed)
    return AtariPolicy(screen, ACTIONS, lambda _: 1e-3, **policy_kwargs(name))


def images(count: int = 3, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 4, 84, 84), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_acts_values_and_has_the_same_heads(name: str) -> None:
    policy = make(name)
    actions, values, log_probs = policy(images())
    assert actions.shape == (3,)
    assert values.shape == (3, 1)
    assert log_probs.shape == (3,)
    assert not list(policy.mlp_extractor.parameters()), "hidden layers between trunk and heads"
    width = 256 if name.startswith("impala") else 512
    assert policy.action_net.weight.shape == (6, width)
    assert policy.value_net.weight.shape == (1, width)
    for parameter in policy.parameters():
        assert parameter.requires_grad


# Nature-CNN by hand: 4·64·32 + 32, 32·16·64 + 64, 64·9·64 + 64, 3136·512 + 512, 7·512 + 7.
NATURE = 8224 + 32832 + 36928 + 1606144 + 3591
COORDINATES = 2 * (64 * 32 + 16 * 64 + 9 * 64)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nature", NATURE),
        ("coordconv", NATURE + COORDINATES),
        ("control-noise", NATURE + COORDINATES),
        ("coordconv-first", NATURE + 2 * 64 * 32),
        ("coordconv-r", NATURE + COORDINATES * 3 // 2),
        ("coordconv-actor", 2 * (NATURE - 3591) + COORDINATES + 3591),
        ("nature-gap", NATURE - (3136 - 64) * 512),
        ("coordconv-gap", NATURE - (3136 - 64) * 512 + COORDINATES),
        ("coordconv-zero", NATURE + COORDINATES),
        ("control-noise-gap", NATURE - (3136 - 64) * 512 + COORDINATES),
        ("control-noise-actor", 2 * (NATURE - 3591) + COORDINATES + 3591),
    ],
)
def test_parameter_counts_equal_hand_computed_values(name: str, expected: int) -> None:
    assert parameter_count(make(name)) == expected


def test_nature_is_sb3s_own_network_bit_for_bit() -> None:
    ours = make("nature", seed=5)
    torch.manual_seed(5)
    theirs = ActorCriticCnnPolicy(SCREEN, ACTIONS, lambda _: 1e-3)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)
    torch.manual_seed(1)
    our_actions, our_values, our_log_probs = ours(images())
    torch.manual_seed(1)
    their_actions, their_values, their_log_probs = theirs(images())
    assert torch.equal(our_actions, their_actions)
    torch.testing.assert_close(our_values, their_values)
    torch.testing.assert_close(our_log_probs, their_log_probs)
    evaluated = ours.evaluate_actions(images(), our_actions)
    torch.testing.assert_close(evaluated, theirs.evaluate_actions(images(), our_actions))
    torch.testing.assert_close(ours.predict_values(images()), theirs.predict_values(images()))
    torch.testing.assert_close(
        ours.get_distribution(images()).distribution.probs,
        theirs.get_distribution(images()).distribution.probs,
    )


def test_coordconv_is_the_concatenating_network_with_jointly_orthogonal_kernels() -> None:
    policy = make("coordconv")
    layers = [layer for _, layer in coordconv_layers(policy)]
    assert len(layers) == 3
    plain: list[nn.Module] = []
    for layer in layers:
        joint = torch.cat([layer.weight, layer.coord_weight], dim=1)
        flat = joint.detach().flatten(1)
        # SB3's orthogonal initialization with gain √2 gives rows (or columns) of length √2.
        gram = flat @ flat.T
        torch.testing.assert_close(gram, 2 * torch.eye(len(gram)), atol=1e-4, rtol=0)
        concat = ConcatCoordConv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, stride=layer.stride
        )
        (convolution,) = [m for m in concat.modules() if isinstance(m, nn.Conv2d)]
        with torch.no_grad():
            convolution.weight.copy_(joint)
            assert convolution.bias is not None
            assert layer.bias is not None
            convolution.bias.copy_(layer.bias)
        plain += [concat, nn.ReLU()]
    x = images().float() / 255
    extractor = policy.features_extractor
    expected = torch.relu(extractor.linear(nn.Sequential(*plain)(x).flatten(1)))
    torch.testing.assert_close(extractor(x), expected)


def test_the_first_arm_has_one_coordconv_layer_and_the_radius_arm_has_radii() -> None:
    first = [layer.in_channels for _, layer in coordconv_layers(make("coordconv-first"))]
    assert first == [4]
    assert all(layer.with_r for _, layer in coordconv_layers(make("coordconv-r")))


def test_actor_arm_has_coordinates_in_the_actor_and_none_in_the_critic() -> None:
    policy = make("coordconv-actor")
    assert len(list(coordconv_layers(policy.pi_features_extractor))) == 3
    assert not list(coordconv_layers(policy.vf_features_extractor))
    actor = {id(p) for p in policy.pi_features_extractor.parameters()}
    assert actor.isdisjoint(id(p) for p in policy.vf_features_extractor.parameters())


def test_every_convolution_of_impala_coordconv_has_coordinates() -> None:
    policy = make("impala-coordconv")
    assert len(list(coordconv_layers(policy))) == 15
    assert not [m for m in policy.modules() if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize(
    ("name", "baseline"),
    [
        ("coordconv-zero", "nature"),
        ("control-noise", "nature"),
        ("control-noise-gap", "nature-gap"),
        ("impala-control-noise", "impala"),
    ],
)
def test_arms_with_zero_kernels_start_as_the_baseline_and_learn(name: str, baseline: str) -> None:
    policy, plain = make(name, seed=3), make(baseline, seed=3)
    logits, values = policy.logits_and_values(images())
    expected = plain.logits_and_values(images())
    assert torch.equal(logits, expected[0])
    assert torch.equal(values, expected[1])
    values.sum().backward()
    for layer_name, layer in coordconv_layers(policy):
        assert not layer.coord_weight.any()
        assert layer.coord_weight.grad is not None
        assert layer.coord_weight.grad.abs().max() > 0, layer_name


def test_a_control_has_the_layers_of_its_arm() -> None:
    controlled = {name: arm.control for name, arm in ARMS.items() if arm.control is not None}
    assert set(controlled) == {
        "coordconv",
        "coordconv-zero",
        "coordconv-actor",
        "coordconv-gap",
        "impala-coordconv",
    }
    for name, control in controlled.items():
        shapes = [[p.shape for p in make(arm).parameters()] for arm in (name, control)]
        assert shapes[0] == shapes[1]
        assert ARMS[control].controls_for in ARMS


def test_noise_is_a_permutation_of_the_coordinates() -> None:
    noisy = [m for m in make("control-noise").modules() if isinstance(m, NoiseConv2d)]
    assert len(noisy) == 3
    for layer in noisy:
        size = tuple(layer.noise.shape[1:])
        cpu = torch.device("cpu")
        true = CoordConv2d(1, 1, 3).coordinates(size, device=cpu, dtype=torch.float32)
        assert torch.equal(layer.noise.flatten(1).sort().values, true.flatten(1).sort().values)
        both = torch.stack([layer.noise[0].flatten(), true[0].flatten()])
        assert abs(torch.corrcoef(both)[0, 1]) < 0.5
    with pytest.raises(ValueError, match="input_size=\\(9, 9\\)"):
        noisy[0](torch.zeros(1, 4, 9, 9))


def test_noise_is_saved_with_the_weights_and_differs_between_seeds() -> None:
    one, other = make("control-noise", seed=1), make("control-noise", seed=2)
    before = one(images())[1]
    assert not torch.allclose(other(images())[1], before)
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other(images())[1], before)


@pytest.mark.parametrize("algorithm", [PPO, A2C])
def test_arms_train_in_plain_sb3_code(algorithm: Any) -> None:
    class Screens(gymnasium.Env[np.ndarray[Any, Any], np.int64]):
        observation_space = spaces.Box(0, 255, (1, 40, 44), np.uint8)
        action_space = spaces.Discrete(3)

        def reset(self, **kwargs: Any) -> Any:
            super().reset(seed=kwargs.get("seed"))
            return self.observation_space.sample(), {}

        def step(self, action: Any) -> Any:
            return self.observation_space.sample(), 1.0, self.np_random.random() < 0.2, False, {}

    size = {"batch_size": 8} if algorithm is PPO else {}
    model = algorithm(
        "CnnPolicy", Screens(), policy_kwargs=policy_kwargs("coordconv"), n_steps=8, **size
    )
    layers = [layer for _, layer in coordconv_layers(model.policy)]
    before = [layer.coord_weight.detach().clone() for layer in layers]
    model.learn(16)
    for layer, old in zip(layers, before, strict=True):
        assert not torch.equal(layer.coord_weight, old), "coordinates were not trained"


def test_small_images_and_vectors_are_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"at least 36×36.*enlarge"):
        NatureExtractor(spaces.Box(0, 255, (4, 30, 84), np.uint8))
    with pytest.raises(ValueError, match=r"shape \(C, H, W\)"):
        NatureExtractor(spaces.Box(0, 1, (7,)))
    with pytest.raises(ValueError, match="none, coordinates, noise"):
        NatureExtractor(SCREEN, channels="coords")  # type: ignore[arg-type]


def test_policy_refuses_spaces_it_cannot_serve() -> None:
    with pytest.raises(ValueError, match="Discrete"):
        AtariPolicy(SCREEN, spaces.Box(-1, 1, (2,)), lambda _: 0.0, **policy_kwargs("nature"))
    floats = spaces.Box(0, 1, (4, 84, 84), np.float32)
    with pytest.raises(ValueError, match="uint8"):
        AtariPolicy(floats, ACTIONS, lambda _: 0.0, **policy_kwargs("nature"))


def test_float_images_are_not_scaled_in_the_callers_memory() -> None:
    policy = make("nature")
    floats = images().float().contiguous(memory_format=torch.channels_last)
    kept = floats.clone()
    torch.testing.assert_close(policy.predict_values(floats), policy.predict_values(images()))
    assert torch.equal(floats, kept)


def test_unknown_names_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownExtractorError, match="did you mean coordconv-gap"):
        check_extractor_name("cordconv-gap")
    with pytest.raises(UnknownExtractorError, match=r"their_package.module:Class"):
        check_extractor_name("os.system('x'):y")


def test_a_users_class_is_imported_only_when_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_module.py").write_text(
        "from policies import NatureExtractor\nclass Mine(NatureExtractor):\n    pass\nnumber = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    check_extractor_name("their_module:Mine")
    assert "their_module" not in sys.modules
    assert make("their_module:Mine").features_extractor.__class__.__name__ == "Mine"
    with pytest.raises(UnknownExtractorError, match="is not a subclass of"):
        find_arm("their_module:number")
    with pytest.raises(UnknownExtractorError, match="cannot be imported"):
        find_arm("their_module:Yours")
    with pytest.raises(UnknownExtractorError, match="cannot be imported"):
        find_arm("no_such_module:Yours")


def test_description_counts_shapes_parameters_and_multiply_adds() -> None:
    text = description("coordconv", (4, 84, 84), 6)
    lines = text.splitlines()
    assert "32×20×20" in lines[1]
    assert f"{4 * 64 * 32 + 32 + 2 * 64 * 32:,}" in lines[1]
    assert f"{20 * 20 * 32 * 4 * 64:,}" in lines[1]
    total = parameter_count(make("coordconv"))
    multiply_adds = 20 * 20 * 32 * 256 + 9 * 9 * 64 * 512 + 7 * 7 * 64 * 576 + 3136 * 512 + 7 * 512
    assert lines[-1].split() == ["total", f"{total:,}", f"{multiply_adds:,}"]


def test_the_critics_own_trunk_is_described_too() -> None:
    text = description("coordconv-actor", (4, 84, 84), 6)
    assert text.count("CoordConv2d") == 3
    assert len([line for line in text.splitlines() if " Conv2d" in line]) == 3


def test_the_orthogonal_gain_equals_sb3s() -> None:
    weight = make("nature").features_extractor.convolutions[0].convolution.weight.detach()
    assert math.isclose(float(weight.flatten(1)[0].norm()), math.sqrt(2), rel_tol=1e-4)
