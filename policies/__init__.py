"""The arms of the comparison: networks with and without coordinates.

They are built from the library `coordconv.sb3`.

>>> from stable_baselines3 import PPO
>>> from policies import AtariPolicy, policy_kwargs
>>> # model = PPO(AtariPolicy, env, policy_kwargs=policy_kwargs("coordconv"))
"""

from coordconv.sb3 import (
    PRECISIONS,
    AtariPolicy,
    ImpalaExtractor,
    NatureExtractor,
    NoiseConv2d,
    Precision,
    caveat,
    parameter_count,
)
from policies.build import build_policy
from policies.describe import description, short_name
from policies.registry import (
    ARMS,
    UnknownExtractorError,
    check_extractor_name,
    find_arm,
    policy_kwargs,
)

__all__ = [
    "ARMS",
    "PRECISIONS",
    "AtariPolicy",
    "ImpalaExtractor",
    "NatureExtractor",
    "NoiseConv2d",
    "Precision",
    "UnknownExtractorError",
    "build_policy",
    "caveat",
    "check_extractor_name",
    "description",
    "find_arm",
    "parameter_count",
    "policy_kwargs",
    "short_name",
]
