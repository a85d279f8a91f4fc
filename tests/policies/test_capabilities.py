"""Extractors declare their capabilities; a subclass with another forward pass inherits none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from torch import Tensor

from agents.build import build_model
from coordconv.sb3 import AtariPolicy, ImpalaExtractor, NatureExtractor, capabilities
from envs import AtariVecEnv
from tests.agents.conftest import small_config

SCREEN = spaces.Box(0, 255, (4, 84, 84), np.uint8)


class Renamed(NatureExtractor):
    """Changes nothing, so it keeps its parent's capabilities."""


class Changed(NatureExtractor):
    """Changes the forward pass, so it loses its parent's capabilities."""

    def forward(self, observations: Tensor) -> Tensor:
        return super().forward(observations) * 2


class Declared(Changed):
    """Declares that threads may call it."""

    bears_threads = True


@pytest.mark.parametrize(
    ("kind", "bears", "rounded", "recalls"),
    [
        (NatureExtractor, True, True, True),
        (ImpalaExtractor, True, True, False),
        (Renamed, True, True, True),
        (Changed, False, False, False),
        (Declared, True, False, False),
    ],
)
def test_capabilities_are_inherited_only_by_unchanged_subclasses(
    kind: Any, bears: bool, rounded: bool, recalls: bool
) -> None:
    assert capabilities.has(kind, "bears_threads") == bears
    assert capabilities.has(kind, "is_rounded_whole") == rounded
    assert capabilities.has(kind, "recalls") == recalls


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kept"), [(Renamed, True), (Changed, False)])
def test_a2c_keeps_forward_passes_only_of_extractors_that_recall_them(
    kind: Any, kept: bool
) -> None:
    config = small_config("a2c", extractor=f"tests.policies.test_capabilities:{kind.__name__}")
    env = AtariVecEnv("Breakout", 4, threads=1)
    model = build_model(config, env)
    assert isinstance(model.policy, AtariPolicy)
    collect = model.collect_rollouts
    complete = []

    def observed(*args: Any, **kwargs: Any) -> bool:
        continues = collect(*args, **kwargs)
        complete.append(model.passes is not None and model.passes.complete)
        return bool(continues)

    model.collect_rollouts = observed
    model.learn(100)
    env.close()
    assert complete == [kept, kept]
