"""The actor-critic policy that every arm shares: SB3's, in the memory layout CPUs are fast in."""

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

# 900 kB of float32 at 84×84×4, of which the processor's second cache holds most.
OBSERVATIONS_IN_CACHE = 8


class AtariPolicy(ActorCriticCnnPolicy):
    """SB3's CnnPolicy for images and discrete actions, computed with less waste.

    Same parameters, same initialisation, same distribution and same random draws as SB3's policy;
    outputs agree to floating-point tolerance. The differences: images are scaled once, in place
    and channels-last; the log-softmax takes the place of distribution objects; and the critic may
    have a trunk that differs from the actor's.

    Args:
        observation_space: Box (C, H, W) of uint8.
        action_space: Discrete.
        lr_schedule: learning rate by remaining progress.
        critic_extractor_kwargs: arguments of the critic's own trunk, of the same class as the
            actor's; `None` shares one trunk. Needs `share_features_extractor=False`.
        precision: what the trunk computes in, `"float32"` or `"bfloat16"`. Parameters, heads,
            distributions and values are float32 in both.
        **kwargs: as SB3's ActorCriticCnnPolicy.

    Attributes:
        reuses_memory: whether `evaluate_actions` may put the scaled images where those of its last
            call were. They are the largest block of a gradient step, and the system clears new
            memory page by page. For training loops that finish one step before the next: a
            backward pass that comes too late raises torch's error about in-place changes.
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
            raise ValueError(f"AtariPolicy acts in Discrete spaces, got {action_space}")
        if not isinstance(observation_space, spaces.Box) or observation_space.dtype != "uint8":
            raise ValueError(f"AtariPolicy looks at uint8 images, got {observation_space}")
        if critic_extractor_kwargs is not None and kwargs.get("share_features_extractor", True):
            raise ValueError("critic_extractor_kwargs needs share_features_extractor=False")
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.precision = precision
        # Of `playing`: by extractor, its copy with rounded weights.
        self._rounded_copies: dict[nn.Module, BaseFeaturesExtractor] = {}
        self._playing = False
        self.critic_extractor_kwargs = critic_extractor_kwargs
        self._images: Tensor | None = None
        super().__init__(observation_space, action_space, lr_schedule, *args, **kwargs)
        # After construction: orthogonal initialisation fails on channels-last weights.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data: dict[str, Any] = super()._get_constructor_parameters()
        data["share_features_extractor"] = self.share_features_extractor
        data["critic_extractor_kwargs"] = self.critic_extractor_kwargs
        data["precision"] = self.precision
        return data

    @staticmethod
    def init_weights(module: nn.Module, gain: float = 1) -> None:
        """SB3's orthogonal initialisation; layers that start as plain convolutions get it too."""
        if getattr(module, "starts_as_plain", False):
            draw_as_plain_(module, gain)
        else:
            ActorCriticCnnPolicy.init_weights(module, gain)

    def make_features_extractor(self) -> BaseFeaturesExtractor:
        """The actor's trunk at the first call, the critic's at the second, as SB3 asks for them."""
        is_critic = "features_extractor" in self._modules
        if is_critic and self.critic_extractor_kwargs is not None:
            return self.features_extractor_class(
                self.observation_space, **self.critic_extractor_kwargs
            )
        return super().make_features_extractor()

    def scaled(self, observations: Tensor) -> Tensor:
        """uint8 (N, C, H, W) to channels-last numbers in [0, 1], of the trunk's precision."""
        if not (self.reuses_memory and torch.is_grad_enabled()):
            dtype = DTYPES[self.precision]
            images = observations.to(dtype, memory_format=torch.channels_last)
            # An input of that type is not converted, and is not to be scaled in its own memory.
            return images.mul_(1 / 255) if images is not observations else images / 255
        images = self._remembered_images(observations)
        # A few at a time: they are still in the processor's cache when they are scaled. A GPU is
        # better off with all at once.
        count = OBSERVATIONS_IN_CACHE if images.device.type == "cpu" else len(images)
        parts = (torch.split(whole, count) for whole in (images, observations))
        for part, pixels in zip(*parts, strict=True):
            part.copy_(pixels).mul_(1 / 255)
        return images

    def _remembered_images(self, like: Tensor) -> Tensor:
        """Channels-last memory for images of this number and size."""
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
        """The extractor, or while `playing` the copy that need not round its weights again."""
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
            # The draw that torch's Categorical makes, so that seeds mean the same as under SB3.
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
        """The actor's trunk, or within `playing` what answers for it."""
        return self._played_by(self.pi_features_extractor)

    @contextmanager
    def playing(self) -> Iterator[None]:
        """Within this, no weight changes: what depends on weights alone is computed once.

        That is where-maps and, in bfloat16, the rounded weights of extractors that allow it.
        Outputs of passes without gradient stay the same to the last bit; passes with gradient do
        not belong in here.
        """
        players: list[nn.Module] = [self]
        if self.precision != "float32":
            for extractor in {self.pi_features_extractor, self.vf_features_extractor}:
                if capabilities.has(type(extractor), "is_rounded_whole"):
                    players.append(self._rounded_copy(extractor))
        self._playing = True
        try:
            with ExitStack() as constant:
                for player in players:
                    constant.enter_context(constant_where_maps(player))
                yield
        finally:
            self._playing = False

    def __getstate__(self) -> dict[str, Any]:
        # A copy is not playing, and its layers may be exchanged.
        return {**vars(self), "_playing": False, "_rounded_copies": {}}

    def _rounded_copy(self, extractor: BaseFeaturesExtractor) -> BaseFeaturesExtractor:
        """The extractor's copy with weights rounded anew; its memory is kept."""
        rounded = self._rounded_copies.get(extractor)
        if rounded is None or rounded.state_dict().keys() != extractor.state_dict().keys():
            rounded = copy.deepcopy(extractor).to(DTYPES[self.precision]).requires_grad_(False)
            self._rounded_copies[extractor] = rounded
        rounded.load_state_dict(extractor.state_dict())
        return rounded.train(extractor.training)

    def action_logits(self, obs: Tensor) -> Tensor:
        """Unnormalised log-probabilities (N, n_actions) for uint8 images (N, C, H, W)."""
        features = self._features(self.pi_features_extractor, self.scaled(obs))
        logits: Tensor = self.action_net(self.mlp_extractor.forward_actor(features))
        return logits

    def predict_values(self, obs: PyTorchObs) -> Tensor:
        """Values (N, 1) for uint8 images (N, C, H, W)."""
        assert isinstance(obs, Tensor)
        features = self._features(self.vf_features_extractor, self.scaled(obs))
        values: Tensor = self.value_net(self.mlp_extractor.forward_critic(features))
        return values
