"""The size of a model."""

from __future__ import annotations

from torch import nn


def parameter_count(module: nn.Module) -> int:
    """The number of trainable parameters; parameters shared by several layers count once."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
