"""CoordConv layers whose weights torch computes, as in weight normalization and pruning."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.ao.pruning import WeightNormSparsifier  # type: ignore[attr-defined]
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from coordconv import (
    CoordConv2d,
    fold_model,
    translation_dependence,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


COMPUTED: dict[str, Callable[..., Any]] = {
    "weight_norm": parametrizations.weight_norm,
    "old weight_norm": weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "old spectral_norm": spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "prune": lambda layer, name: prune.l1_unstructured(layer, name, 0.5),
    "prune twice": lambda layer, name: prune.random_unstructured(
        prune.l1_unstructured(layer, name, 0.5), name, 0.3
    ),
}


@pytest.mark.parametrize("how", COMPUTED)
@pytest.mark.parametrize("name", ["weight", "coord_weight"])
def test_computed_weights_fold_and_load(how: str, name: str) -> None:
    layer = COMPUTED[how](CoordConv2d(3, 8, 3), name)
    x = torch.rand(2, 3, 9, 11)
    layer(x)
    # Change the parameters as an optimizer would, without a forward pass afterwards.
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1.5).add_(0.01)
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    folded = layer.fold((9, 11))
    whole = fold_model(nn.Sequential(layer), x)
    assert layer.training
    for key, value in layer.state_dict().items():
        assert torch.equal(value, state[key]), key
    expected = layer.eval()(x)
    torch.testing.assert_close(folded(x), expected)
    torch.testing.assert_close(whole(x), expected)
    assert not any(p.is_meta for p in [*folded.parameters(), *whole.parameters()])
    assert str(layer.load_state_dict(layer.state_dict())) == "<All keys matched successfully>"


@pytest.mark.parametrize("wrap", [weight_norm, spectral_norm, COMPUTED["prune"]])
def test_old_computed_weights_compile_as_one_graph(wrap: Any) -> None:
    layer, x = wrap(CoordConv2d(3, 4, 3), "weight").eval(), torch.rand(2, 3, 9, 9)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.parametrize("how", ["old weight_norm", "prune", "weight_norm"])
def test_translation_dependence_uses_the_current_weights(how: str) -> None:
    layer, x = COMPUTED[how](CoordConv2d(3, 4, 3), "coord_weight"), torch.rand(2, 3, 9, 9)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "coord_weight" in name:
                parameter.mul_(3)
    now = translation_dependence(layer, x)
    layer(x)
    assert now == translation_dependence(layer, x)


def test_a_masked_channel_stays_masked() -> None:
    layer, x = CoordConv2d(3, 4, 3), torch.rand(2, 3, 9, 9)
    with torch.no_grad():
        layer.bias[1] = -torch.inf
        assert (layer(x)[:, 1] == -torch.inf).all()
    assert (layer(x)[:, 1] == -torch.inf).all()


def test_computed_bias_folds() -> None:
    layer = prune.l1_unstructured(CoordConv2d(3, 8, 3), "bias", 0.5)
    x = torch.rand(2, 3, 9, 11)
    torch.testing.assert_close(layer.fold((9, 11))(x), layer(x))


def test_an_ordinary_layers_state_loads_into_a_plain_layer() -> None:
    layer = CoordConv2d(3, 8, 3)
    layer.load_state_dict(nn.Conv2d(3, 8, 3).state_dict())
    assert not layer.coord_weight.any()


def test_hooks_that_folding_would_lose_are_refused() -> None:
    layer = CoordConv2d(3, 8, 3)
    layer.register_forward_hook(lambda module, args, output: output * 2)
    with pytest.raises(ValueError, match="has hooks that its folded form would lose"):
        layer.fold((9, 9))
    with pytest.raises(ValueError, match="has hooks that its folded form would lose"):
        fold_model(nn.Sequential(layer), torch.rand(1, 3, 9, 9))


def test_a_layer_on_the_meta_device_is_not_folded() -> None:
    for name in ("weight", "coord_weight", "bias"):
        layer = CoordConv2d(3, 8, 3)
        setattr(layer, name, nn.Parameter(getattr(layer, name).to("meta")))
        with pytest.raises(ValueError, match="on the meta device"):
            layer.fold((9, 9))


@pytest.mark.parametrize("name", ["weight", "coord_weight"])
def test_initializing_computed_kernels_is_refused(name: str) -> None:
    layer = parametrizations.weight_norm(CoordConv2d(3, 8, 3), name)
    for draw in (layer.reset_parameters, layer.init_orthogonal_):
        with pytest.raises(ValueError, match="initialize the layer before that"):
            draw()


def test_sparsified_layer_folds() -> None:
    model, x = nn.Sequential(CoordConv2d(3, 8, 3)), torch.rand(2, 3, 9, 9)
    sparsifier = WeightNormSparsifier(sparsity_level=0.5, sparse_block_shape=(1, 1))
    plain = nn.Sequential(nn.Conv2d(3, 8, 3))
    for target in (plain, model):
        sparsifier = WeightNormSparsifier(sparsity_level=0.5, sparse_block_shape=(1, 1))
        sparsifier.prepare(target, [{"tensor_fqn": "0.weight"}])
    torch.testing.assert_close(fold_model(model, x)(x), model(x))
