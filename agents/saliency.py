"""Saliency: how much an agent's output changes when a place of the picture is blurred.

This is the perturbation saliency of Greydanus et al. 2018 (arXiv:1711.00138, section 3), with all
places in one batch: a place is removed by blending the picture I with a blurred picture A in a
window M around the place, I·(1 - M) + A·M. Their agents have a memory, and only the newest frame is
blurred. Here the stack's earlier frames are the memory, and all frames are blurred, because what is
removed from one could be read from the others.

The measure differs. The paper uses ½‖Δ logits‖² for the actor and ½(Δ value)² for the critic. But
if all logits rise together, or those of improbable actions change, the agent still acts as before;
and squared logits of two agents do not have a common unit. Here the actor's map is the change of
the chosen action's probability, and the critic's map is the change of the value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # and its parts at their first use, because they load slowly
import torch
from numpy.typing import NDArray

from agents.places import ActorCritic, PlaceMap, answers, answers_by_place, of_places

BLUR_SIGMA = 3.0  # pixels; section 3 of the paper


@dataclass(frozen=True)
class Saliency:
    """How much each place of an observation influences an agent's output.

    Attributes:
        actor: absolute change of the chosen action's probability, from 0 to 1.
        critic: absolute change of the value, in discounted training rewards.
    """

    actor: PlaceMap
    critic: PlaceMap


def saliency(policy: ActorCritic, observation: NDArray[np.uint8], action: int) -> Saliency:
    """How much each place influences the probability of `action` and the value.

    Args:
        policy: the policy; it evaluates the observation, then all places.
        observation: (C, H, W) uint8.
        action: the action that was chosen.
    """
    blurred = scipy.ndimage.gaussian_filter(
        observation.astype(np.float32), (0, BLUR_SIGMA, BLUR_SIGMA)
    )
    picture = torch.as_tensor(observation).float()
    before, value = answers(policy, picture[None])
    after, values = answers_by_place(policy, picture, torch.as_tensor(blurred))
    size = observation.shape[1:]
    return Saliency(
        of_places((after - before)[:, action].abs(), size), of_places((values - value).abs(), size)
    )
