"""Emulator seeds: distinct for all environments, and never shared by training and evaluation.

An emulator's seed determines its no-ops and its sticky actions. ale-py takes an int32.
"""

from __future__ import annotations

import numpy as np

SEEDS = 2**31
"""Emulator seeds are in [0, SEEDS): even ones for training, odd ones for evaluation."""


def emulator_seeds(seed: int, count: int, *, training: bool) -> list[int]:
    """Distinct emulator seeds for the environments of a run, from the run's own seed.

    They are hashed (`numpy.random.SeedSequence`), so that consecutive run seeds have nothing in
    common. The first k seeds do not depend on `count`.

    Args:
        seed: seed of the run, at least 0.
        count: number of environments.
        training: even seeds if true, odd seeds otherwise.

    Raises:
        ValueError: a negative seed.
    """
    if seed < 0:
        raise ValueError(f"seed must be at least 0, got {seed}")
    # 30 bits and one for parity. Draw twice as many words as needed, because some may be equal.
    words = np.random.SeedSequence(seed).generate_state(2 * count) >> 2
    distinct = list(dict.fromkeys(words.tolist()))[:count]
    return [2 * word + (not training) for word in distinct]


def check_emulator_seed(seed: int) -> int:
    """The seed, if ale-py can take it.

    Raises:
        ValueError: it is outside [0, 2³¹).
    """
    if not 0 <= seed < SEEDS:
        raise ValueError(f"an emulator seed must be in [0, {SEEDS}), got {seed}")
    return seed
