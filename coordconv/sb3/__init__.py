"""CoordConv for Stable-Baselines3: features extractors, and a faster policy.

Requires stable-baselines3. The extractors work with SB3's own policies and with `AtariPolicy`:

Examples:
    >>> from coordconv.sb3 import AtariPolicy, NatureExtractor, policy_kwargs_for
    >>> looks = policy_kwargs_for(NatureExtractor, channels="coordinates")
    >>> # model = PPO(AtariPolicy, env, policy_kwargs=looks)  # or "CnnPolicy"
"""

from coordconv.parameters import parameter_count
from coordconv.sb3.impala import ImpalaExtractor
from coordconv.sb3.kwargs import policy_kwargs_for
from coordconv.sb3.nature import NatureExtractor
from coordconv.sb3.noise import NoiseConv2d
from coordconv.sb3.policy import AtariPolicy
from coordconv.sb3.precision import PRECISIONS, Precision, caveat

__all__ = [
    "PRECISIONS",
    "AtariPolicy",
    "ImpalaExtractor",
    "NatureExtractor",
    "NoiseConv2d",
    "Precision",
    "caveat",
    "parameter_count",
    "policy_kwargs_for",
]
