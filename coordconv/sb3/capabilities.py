"""What an extractor says of itself, so that training may take a faster way with it.

A capability is a class attribute, declared where `forward` is written:

    class Mine(BaseFeaturesExtractor):
        bears_threads = True

A subclass that writes `forward` anew has to declare it anew: what held of its parent need not hold
of it.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

# bears_threads: several threads may call it at once, without gradients (nothing is kept from one
#     pass to the next).
# is_rounded_whole: in bfloat16 a copy with rounded weights answers what it answers.
# recalls: all its parameters belong to layers of the kinds `ConvReLU` and `LinearReLU`
#     (coordconv.sb3.layers), and it calls each of them once in a pass.
Capability = Literal["bears_threads", "is_rounded_whole", "recalls"]


def has(extractor: type[nn.Module], capability: Capability) -> bool:
    """Whether a class declares a capability, and no class derived from that changed its ways."""
    for kind in extractor.__mro__:
        if capability in vars(kind):
            return bool(vars(kind)[capability])
        if "forward" in vars(kind):
            return False
    return False
