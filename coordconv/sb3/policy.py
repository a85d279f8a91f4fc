"""The actor-critic policy of every arm: SB3's, in a memory layout that is fast on CPUs."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn
from torch.nn import functional as F

from coordconv.constant import constant_where_maps
from coordconv.sb3 import capabilities
from coordconv.sb3.layers import draw_as_plain_
from coordconv.sb3.precision import DTYPES, PRECISIONS, Precision, bfloat16

# 900 kB of float32 at 84×84×4, most of which fit into the processor's second-level cache.
OBSERVATIONS_IN_CACHE = 8


class AtariPolicy(ActorCriticCnnPolicy):
    """A faster version of SB3's CnnPolicy for images and discrete actions.

    Parameters, initialization, distribution and random draws are the same as in SB3's policy, and
    outputs agree to floating-point tolerance. The differences: images are scaled once, in place
    and channels-last; a log-softmax replaces the distribution objects; and the critic may have a
    trunk that differs from the actor's.

    Args:
        observation_space: Box (C, H, W) of uint8.
        action_space: Discrete.
        lr_schedule: learning rate as a function of the remaining progress.
        *args: as in SB3's ActorCriticCnnPolicy.
        critic_extractor_kwargs: arguments of the critic's own trunk, of the same class as the
            actor's; None if they do not differ. Needs `share_features_extractor=False`.
        precision: precision of the trunk, `"float32"` or `"bfloat16"`. Parameters, heads,
            distributions and values are always float32.
        **kwargs: as in SB3's ActorCriticCnnPolicy.

    Attributes:
        reuses_memory: whether `evaluate_actions` may overwrite the scaled images of its last call.
            They are the largest memory block of a gradient step, and the system clears new memory
            page by page. Only for training loops that finish each step before the next: a backward
            pass after the next call raises torch's error about in-place changes.
    """

    reuses_memory = False

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *args: Any,
        critic_extractor_kwargs: dict[str, Any] | None = None,
        precision: Precision = "float32",
        **kwargs: Any,
    ) -> None:
        if not isinstance(action_space, spaces.Discrete):
            raise ValueError(f"AtariPolicy needs a Discrete action space, got {action_space}")
        if not isinstance(observation_space, spaces.Box) or observation_space.dtype != "uint8":
            raise ValueError(f"AtariPolicy needs a Box of uint8 images, got {observation_space}")
        if critic_extractor_kwargs is not None and kwargs.get("share_features_extractor", True):
            raise ValueError("critic_extractor_kwargs needs share_features_extractor=False")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.precision = precision
        # For `playing`: the copy of each extractor with rounded weights.
        self._rounded_copies: dict[nn.Module, BaseFeaturesExtractor] = {}
        self._playing = False
        self.critic_extractor_kwargs = critic_extractor_kwargs
        self._images: Tensor | None = None
        super().__init__(observation_space, action_space, lr_schedule, *args, **kwargs)
        # After construction, because orthogonal initialization fails on channels-last weights.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data: dict[str, Any] = super()._get_constructor_parameters()
        data["share_features_extractor"] = self.share_features_extractor
        data["critic_extractor_kwargs"] = self.critic_extractor_kwargs
        data["precision"] = self.precision
        return data

    @staticmethod
    def init_weights(module: nn.Module, gain: float = 1) -> None:
        """SB3's orthogonal initialization, also for layers that start as plain convolutions."""
        if getattr(module, "starts_as_plain", False):
            draw_as_plain_(module, gain)
        else:
            ActorCriticCnnPolicy.init_weights(module, gain)

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """Build the actor's trunk at the first call and the critic's at the second."""
        is_critic = "features_extractor" in self._modules
        if is_critic and self.critic_extractor_kwargs is not None:
            return self.features_extractor_class(
                self.observation_space, **self.critic_extractor_kwargs
            )
        return super().make_features_extractor()

    def scaled(self, observations: Tensor) -> Tensor:
        """Scale uint8 images (N, C, H, W) to [0, 1], channels-last and in the trunk's precision."""
        if not (self.reuses_memory and torch.is_grad_enabled()):
            dtype = DTYPES[self.precision]
            images = observations.to(dtype, memory_format=torch.channels_last)
            # An input that already has this type is not copied and must not be scaled in place.
            return images.mul_(1 / 255) if images is not observations else images / 255
        images = self._remembered_images(observations)
        # On a CPU, a few at a time, so that they are still in the cache when they are scaled. A GPU
        # is faster with all at once.
        count = OBSERVATIONS_IN_CACHE if images.device.type == "cpu" else len(images)
        parts = (torch.split(whole, count) for whole in (images, observations))
        for part, pixels in zip(*parts, strict=True):
            part.copy_(pixels).mul_(1 / 255)
        return images

    def _remembered_images(self, like: Tensor) -> Tensor:
        """Channels-last memory for as many images of this size, allocated or reused."""
        count, channels, height, width = like.shape
        rest = (height, width, channels)
        memory = self._images
        if memory is None or len(memory) < count or memory.shape[1:] != rest:
            memory = torch.empty((count, *rest), dtype=DTYPES[self.precision], device=like.device)
            self._images = memory
        return memory[:count].permute(0, 3, 1, 2)

    def _features(self, extractor: BaseFeaturesExtractor, images: Tensor) -> Tensor:
        """Float32 features (N, features_dim) of scaled images."""
        with self._in_precision(images):
            features: Tensor = self._played_by(extractor)(images)
        return features.float()

    def _in_precision(self, images: Tensor) -> AbstractContextManager[None]:
        return nullcontext() if self.precision == "float32" else bfloat16(images.device.type)

    def _played_by(self, extractor: BaseFeaturesExtractor) -> BaseFeaturesExtractor:
        """The extractor, or within `playing` its copy with rounded weights, if it has one."""
        return self._rounded_copies.get(extractor, extractor) if self._playing else extractor

    def _latents(self, observations: PyTorchObs) -> tuple[Tensor, Tensor]:
        """Features for the actor and for the critic."""
        assert isinstance(observations, Tensor)
        images = self.scaled(observations)
        if self.share_features_extractor:
            latent_pi, latent_vf = self.mlp_extractor(
                self._features(self.features_extractor, images)
            )
            return latent_pi, latent_vf
        return (
            self.mlp_extractor.forward_actor(self._features(self.pi_features_extractor, images)),
            self.mlp_extractor.forward_critic(self._features(self.vf_features_extractor, images)),
        )

    def forward(self, obs: Tensor, deterministic: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Actions (N,), values (N, 1) and log-probabilities (N,) for uint8 images (N, C, H, W)."""
        logits, values = self.logits_and_values(obs)
        log_probs = F.log_softmax(logits, dim=1)
        if deterministic:
            actions = log_probs.argmax(dim=1, keepdim=True)
        else:
            # Draws as torch's Categorical does, so that seeds give the same actions as with SB3.
            actions = torch.multinomial(log_probs.exp(), 1, replacement=True)
        return (
            actions.squeeze(1),
            values,
            log_probs.gather(1, actions).squeeze(1),
        )

    def evaluate_actions(
        self, obs: PyTorchObs, actions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values (N, 1), log-probabilities (N,) of `actions` (N,) and entropies (N,)."""
        logits, values = self.logits_and_values(obs)
        log_probs = F.log_softmax(logits, dim=1)
        chosen = log_probs.gather(1, actions.long().view(-1, 1)).squeeze(1)
        entropy = -(log_probs.exp() * log_probs).sum(dim=1)
        return values, chosen, entropy

    def get_distribution(self, obs: PyTorchObs) -> Distribution:
        """The action distribution, for SB3's `predict`."""
        assert isinstance(obs, Tensor)
        features = self._features(self.pi_features_extractor, self.scaled(obs))
        return self._get_action_dist_from_latent(self.mlp_extractor.forward_actor(features))

    def logits_and_values(self, obs: PyTorchObs) -> tuple[Tensor, Tensor]:
        """Logits (N, n_actions) and values (N, 1) for uint8 images (N, C, H, W)."""
        latent_pi, latent_vf = self._latents(obs)
        return self.action_net(latent_pi), self.value_net(latent_vf)

    @property
    def playing_trunk(self) -> BaseFeaturesExtractor:
        """The actor's trunk, or within `playing` its rounded copy, if it has one."""
        return self._played_by(self.pi_features_extractor)

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Context for inference while no weight changes: compute what depends only on weights once.

        This concerns where-maps and, in bfloat16, the rounded weights of extractors that allow it.
        Outputs of passes without gradient are equal to the last bit. Do not run passes with
        gradient inside the context.
        """
        players: list[nn.Module] = [self]
        if self.precision != "float32":
            for extractor in {self.pi_features_extractor, self.vf_features_extractor}:
                if capabilities.has(type(extractor), "is_rounded_whole"):
                    players.append(self._update_rounded_copy(extractor))
        self._playing = True
        try:
            with ExitStack() as constant:
                for player in players:
                    constant.enter_context(constant_where_maps(player))
                yield
        finally:
            self._playing = False

    def __getstate__(self) -> dict[str, Any]:
        # A copy is not inside `playing`, and its layers may be replaced.
        return {**vars(self), "_playing": False, "_rounded_copies": {}}

    def _update_rounded_copy(self, extractor: BaseFeaturesExtractor) -> BaseFeaturesExtractor:
        """Update the extractor's copy with rounded weights, reusing its memory, and return it."""
        rounded = self._rounded_copies.get(extractor)
        if rounded is None or rounded.state_dict().keys() != extractor.state_dict().keys():
            rounded = copy.deepcopy(extractor).to(DTYPES[self.precision]).requires_grad_(False)
            self._rounded_copies[extractor] = rounded
        rounded.load_state_dict(extractor.state_dict())
        return rounded.train(extractor.training)

    def action_logits(self, obs: Tensor) -> Tensor:
        """Unnormalized log-probabilities (N, n_actions) for uint8 images (N, C, H, W)."""
        features = self._features(self.pi_features_extractor, self.scaled(obs))
        logits: Tensor = self.action_net(self.mlp_extractor.forward_actor(features))
        return logits

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values (N, 1) for uint8 images (N, C, H, W)."""
        assert isinstance(obs, Tensor)
        features = self._features(self.vf_features_extractor, self.scaled(obs))
        values: Tensor = self.value_net(self.mlp_extractor.forward_critic(features))
        return values
