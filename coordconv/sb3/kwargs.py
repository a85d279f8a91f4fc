"""The arguments that make SB3's policies look at the screen through an extractor."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.torch_layers import BaseFeaturesExtractor


def policy_kwargs_for(extractor: type[BaseFeaturesExtractor], **options: Any) -> dict[str, Any]:
    """`policy_kwargs` for `PPO("CnnPolicy", env, policy_kwargs=...)` and SB3's other algorithms.

    `net_arch` is empty: SB3 gives every extractor but its own NatureCNN two more hidden layers,
    and a comparison with it would not be one.

    Args:
        extractor: the class that is to look at the screen.
        **options: its arguments, such as `channels="coordinates"` for `NatureExtractor`.
    """
    return {
        "features_extractor_class": extractor,
        "features_extractor_kwargs": options,
        "net_arch": [],
    }
