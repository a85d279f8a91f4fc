"""Arguments that make SB3's policies use an extractor."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.torch_layers import BaseFeaturesExtractor


def policy_kwargs_for(extractor: type[BaseFeaturesExtractor], **options: Any) -> dict[str, Any]:
    """`policy_kwargs` for `PPO("CnnPolicy", env, policy_kwargs=...)` and SB3's other algorithms.

    `net_arch` is empty, because SB3 would otherwise add two hidden layers to every extractor except
    its own NatureCNN, so that a comparison with NatureCNN would be unfair.

    Args:
        extractor: class of the features extractor.
        **options: its arguments, such as `channels="coordinates"` for `NatureExtractor`.

    Returns:
        The `policy_kwargs`.
    """
    return {
        "features_extractor_class": extractor,
        "features_extractor_kwargs": options,
        "net_arch": [],
    }
