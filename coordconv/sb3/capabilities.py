"""Capabilities that an extractor declares, which allow faster training.

A capability is a class attribute of the class that defines `forward`:

    class Mine(BaseFeaturesExtractor):
        bears_threads = True

A subclass that overrides `forward` must declare its capabilities again.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

# bears_threads: several threads may call it at the same time without gradients, because it keeps no
#     state between passes.
# is_rounded_whole: in bfloat16, a copy with rounded weights has the same outputs.
# recalls: all its parameters belong to layers of type `ConvReLU` or `LinearReLU`
#     (coordconv.sb3.layers), and it calls each of them once per pass.
Capability = Literal["bears_threads", "is_rounded_whole", "recalls"]


def has(extractor: type[nn.Module], capability: Capability) -> bool:
    """Whether a class has a capability: declared, and `forward` not overridden since."""
    for kind in extractor.__mro__:
        if capability in vars(kind):
            return bool(vars(kind)[capability])
        if "forward" in vars(kind):
            return False
    return False
