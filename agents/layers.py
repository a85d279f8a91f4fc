"""Measure how much the layers of a network use position, on the observations of a run."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coordconv import coordconv_layers, translation_dependence
from coordconv.inside import inputs_of_layers
from policies import short_name


@dataclass(frozen=True)
class MeasuredLayer:
    """The measurements of a CoordConv layer.

    Attributes:
        name: the layer's short name, with only letters, digits, dots, dashes and underscores.
        translation_dependence: see `coordconv.translation_dependence`.
        where_map: (C, H, W).
    """

    name: str
    translation_dependence: float
    where_map: NDArray[np.float32]


def measured_layers(policy: nn.Module, images: Tensor) -> list[MeasuredLayer]:
    """Measure every CoordConv layer that the network calls; state and random streams are unchanged.

    Args:
        policy: the network.
        images: (N, C, H, W) uint8 on the policy's device.
    """
    layers = dict(coordconv_layers(policy))
    if not layers:
        return []
    was_training = policy.training
    policy.train(False)  # a custom network's batch normalization must not update its statistics
    with torch.random.fork_rng():  # the forward pass samples an action
        inputs = inputs_of_layers(policy, images)
    policy.train(was_training)
    measured = []
    for name, layer in layers.items():
        if not inputs[name]:
            continue
        (received, *_) = inputs[name]
        with torch.no_grad():
            where_map = layer.where_map(*received.shape[2:]).float().cpu().numpy()
        plain_name = re.sub(r"[^\w.-]", "_", short_name(name), flags=re.ASCII)
        measured.append(
            MeasuredLayer(plain_name, translation_dependence(layer, received), where_map)
        )
    return measured
