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
    *,
    initialized: bool = True,
) -> AtariPolicy:
    """Build the policy of an arm, as training does.

    Args:
        extractor: name of the arm, or an import path.
        observation_shape: (C, H, W).
        n_actions: number of actions.
        precision: precision of the trunk.
        initialized: whether to draw SB3's orthogonal initialization. It takes longer than all the
            rest, and is lost if a checkpoint is loaded next.
    """
    return AtariPolicy(
        spaces.Box(0, 255, observation_shape, np.uint8),
        spaces.Discrete(n_actions),
        lambda _: 0.0,
        ortho_init=initialized,
        **policy_kwargs(extractor, precision),
    )
