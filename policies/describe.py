"""Describe a network: output shape, parameters and multiply-adds of every layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cli.table import aligned
from coordconv import CoordConv2d
from coordconv.parameters import parameter_count
from coordconv.sb3.policy import AtariPolicy
from policies.build import build_policy

# Column widths, the same for every arm, so that two descriptions can be compared line by line.
WIDTHS = (21, 11, 13, 11, 13)


def short_name(name: str) -> str:
    """A layer's dotted name without the parts that all names in `AtariPolicy` share."""
    trunk = name.removeprefix("features_extractor.").removesuffix(".convolution")
    return trunk.replace("vf_features_extractor.", "critic.")


@dataclass(frozen=True)
class Layer:
    """One row of the description; `multiply_adds` are for one observation."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    multiply_adds: int


def layers(policy: AtariPolicy) -> list[Layer]:
    """The layers with parameters, in the order in which an observation passes them.

    A CoordConv's where-map does not depend on the observation: it is computed once per forward pass
    for the whole batch, so it does not count in an observation's multiply-adds. Adding it to the
    output is not counted either, like adding a bias.
    """
    rows: list[Layer] = []
    # A shared trunk is registered under three names; named_modules gives the first.
    names = {module: short_name(name) for name, module in policy.named_modules()}

    def record(module: nn.Module, _: Any, output: Tensor) -> None:
        shape = tuple(output.shape[1:])
        multiply_adds = 0
        if isinstance(module, (nn.Conv2d, CoordConv2d)):
            multiply_adds = math.prod(shape) * math.prod(module.weight.shape[1:])
        elif isinstance(module, nn.Linear):
            multiply_adds = module.in_features * module.out_features
        count = parameter_count(module)
        rows.append(Layer(names[module], type(module).__name__, shape, count, multiply_adds))

    own = [m for m in policy.modules() if list(m.parameters(recurse=False))]
    handles = [module.register_forward_hook(record) for module in own]
    shape = policy.observation_space.shape
    assert shape is not None
    with torch.no_grad():
        policy(torch.zeros((1, *shape), dtype=torch.uint8))
    for handle in handles:
        handle.remove()
    return rows


def description(extractor: str, observation_shape: tuple[int, ...], n_actions: int) -> str:
    """The table that `train.py --describe` prints."""
    policy = build_policy(extractor, observation_shape, n_actions, initialized=False)
    rows = layers(policy)
    total = sum(row.multiply_adds for row in rows)
    cells = [
        (
            row.name,
            row.kind,
            "×".join(map(str, row.output)),
            f"{row.parameters:,}",
            f"{row.multiply_adds:,}",
        )
        for row in rows
    ]
    headings = ("layer", "kind", "output", "parameters", "multiply-adds")
    totals = ("total", "", "", f"{parameter_count(policy):,}", f"{total:,}")
    return aligned([headings, *cells, totals], left={0, 1, 2}, at_least=WIDTHS)
