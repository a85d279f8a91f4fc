"""What an agent looks at: how far its answer moves when a place of the picture is blurred.

Perturbation saliency of Greydanus et al. 2018 (arXiv:1711.00138, section 3), all places in one
batch: a place is removed by blending the picture I with a blurred one A under a window M about the
place, I·(1 - M) + A·M. Their agents remember, and only the newest frame is blurred. Here the
earlier frames of the stack are the memory, and all of them are blurred: what was removed from one
could be read from the others.

What is measured differs. The paper has ½‖Δ logits‖² for the actor and ½(Δ value)² for the critic.
But all logits may rise together, or those of improbable actions may move, and the agent does what
it did before; and a squared logit is no unit that two agents share. Here the actor's map is the
change of the probability of the action that was chosen, and the critic's that of the value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from agents.places import ActorCritic, PlaceMap, answers, answers_by_place, of_places

BLUR_SIGMA = 3.0  # pixels; section 3 of the paper


@dataclass(frozen=True)
class Saliency:
    """What moves an agent's answer to an observation.

    Attributes:
        actor: change of the chosen action's probability, from 0 to 1.
        critic: change of the value, at least 0, in discounted rewards as training counts them.
    """

    actor: PlaceMap
    critic: PlaceMap


def saliency(policy: ActorCritic, observation: NDArray[np.uint8], action: int) -> Saliency:
    """What moves the probability of `action` and the value.

    Args:
        policy: asked twice: about the observation, and about all places.
        observation: (C, H, W) uint8.
        action: the one that was chosen.
    """
    blurred = gaussian_filter(observation.astype(np.float32), (0, BLUR_SIGMA, BLUR_SIGMA))
    picture = torch.as_tensor(observation).float()
    before, value = answers(policy, picture[None])
    after, values = answers_by_place(policy, picture, torch.as_tensor(blurred))
    size = observation.shape[1:]
    return Saliency(
        of_places((after - before)[:, action].abs(), size), of_places((values - value).abs(), size)
    )
