"""Build an arm's network without training."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from coordconv.sb3.policy import AtariPolicy
from coordconv.sb3.precision import Precision
from policies.registry import policy_kwargs


def build_policy(
    extractor: str,
    observation_shape: tuple[int, ...],
    n_actions: int,
    precision: Precision = "float32",
) -> AtariPolicy:
    """Build the policy of an arm, as training does."""
    return AtariPolicy(
        spaces.Box(0, 255, observation_shape, np.uint8),
        spaces.Discrete(n_actions),
        lambda _: 0.0,
        **policy_kwargs(extractor, precision),
    )
