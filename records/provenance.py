"""The origin of a run: everything needed to reproduce or question it."""

from __future__ import annotations

from typing import Any

from envs.family import FAMILIES
from files.origin import origin
from policies.products import chosen_products
from records.config import RunConfig

PACKAGES = ("torch", "stable-baselines3", "gymnasium", "ale-py", "numpy", "tensorboard")


def provenance(config: RunConfig) -> dict[str, Any]:
    """Versions, hardware, command line and start time, as `provenance.json` stores them."""
    return {
        **origin(PACKAGES, config.resolved_device()),
        "float32_products": chosen_products().taken,
        "protocol_hash": FAMILIES.find(config.family).protocols[config.protocol].digest(),
        "ended": None,
    }
