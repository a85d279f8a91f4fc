"""What looks at the screen: SB3 features extractors with and without coordinates.

>>> from stable_baselines3 import PPO
>>> from policies import AtariPolicy, policy_kwargs
>>> # model = PPO(AtariPolicy, env, policy_kwargs=policy_kwargs("coordconv"))
"""

from policies.actor_critic import AtariPolicy, parameter_count
from policies.describe import build_policy, description, short_name
from policies.impala import ImpalaExtractor
from policies.nature import NatureExtractor
from policies.noise import NoiseConv2d
from policies.precision import PRECISIONS, Precision, caveat
from policies.registry import (
    ARMS,
    UnknownExtractorError,
    check_extractor_name,
    find_arm,
    is_import_path,
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
    "is_import_path",
    "parameter_count",
    "policy_kwargs",
    "short_name",
]
