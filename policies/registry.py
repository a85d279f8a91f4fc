"""The arms of the comparison by name, and user extractors by import path."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from cli.own_code import has_form_of_import_path, import_own, is_import_path
from coordconv.sb3 import ImpalaExtractor, NatureExtractor, Precision, policy_kwargs_for


class UnknownExtractorError(ValueError):
    """No extractor has this name, or the named class cannot be used."""


@dataclass(frozen=True)
class Arm:
    """One arm of the comparison: a features extractor with its arguments.

    Attributes:
        summary: one-line description.
        extractor: class of the features extractor.
        kwargs: its arguments.
        critic_kwargs: arguments of the critic's trunk; None if actor and critic share one.
        control: the arm with the same layers and channels without information; None if there is
            none.
        controls_for: for a control, the baseline whose number of weights it corrects for.
    """

    summary: str
    extractor: type[BaseFeaturesExtractor]
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    critic_kwargs: Mapping[str, Any] | None = None
    control: str | None = None
    controls_for: str | None = None


_COORDINATES = {"channels": "coordinates"}
# The control has as many weights, and channels without information. Its kernels start at zero, so
# that the network starts as the baseline; drawn like those of coordinates they would be a handicap
# (tests/policies/test_probe.py).
_CONTROL = {"channels": "noise", "zero_start": True}

ARMS: Mapping[str, Arm] = MappingProxyType(
    {
        "nature": Arm("Nature-CNN, plain convolutions: the baseline", NatureExtractor),
        "coordconv": Arm(
            "all three convolutions are CoordConv",
            NatureExtractor,
            _COORDINATES,
            control="control-noise",
        ),
        "coordconv-first": Arm(
            "only the first convolution is CoordConv",
            NatureExtractor,
            {**_COORDINATES, "only_first": True},
        ),
        "coordconv-r": Arm(
            "all three are CoordConv with the radius channel",
            NatureExtractor,
            {**_COORDINATES, "with_r": True},
        ),
        "coordconv-zero": Arm(
            "as coordconv, with coordinate kernels that start at zero: starts as nature",
            NatureExtractor,
            {**_COORDINATES, "zero_start": True},
            control="control-noise",
        ),
        "coordconv-actor": Arm(
            "CoordConv in the actor, plain convolutions in the critic's own trunk",
            NatureExtractor,
            _COORDINATES,
            critic_kwargs={},
            control="control-noise-actor",
        ),
        "control-noise": Arm(
            "as coordconv-zero, with fixed noise for coordinates: the parameter-matched control",
            NatureExtractor,
            _CONTROL,
            controls_for="nature",
        ),
        "control-noise-actor": Arm(
            "the control of coordconv-actor",
            NatureExtractor,
            _CONTROL,
            critic_kwargs={},
            controls_for="nature",
        ),
        "nature-gap": Arm(
            "as nature, with global average pooling instead of flattening",
            NatureExtractor,
            {"pool": True},
        ),
        "coordconv-gap": Arm(
            "as coordconv, with global average pooling instead of flattening",
            NatureExtractor,
            {**_COORDINATES, "pool": True},
            control="control-noise-gap",
        ),
        "control-noise-gap": Arm(
            "the control of coordconv-gap",
            NatureExtractor,
            {**_CONTROL, "pool": True},
            controls_for="nature-gap",
        ),
        "impala": Arm("IMPALA residual trunk, plain convolutions", ImpalaExtractor),
        "impala-coordconv": Arm(
            "IMPALA residual trunk, every convolution CoordConv",
            ImpalaExtractor,
            _COORDINATES,
            control="impala-control-noise",
        ),
        "impala-control-noise": Arm(
            "the control of impala-coordconv", ImpalaExtractor, _CONTROL, controls_for="impala"
        ),
    }
)


def check_extractor_name(name: str) -> None:
    """Raises UnknownExtractorError unless `name` is an arm or has the form of an import path.

    Imports nothing, so a name from someone else's run folder is safe to check.
    """
    if is_import_path(name):
        if has_form_of_import_path(name):
            return
        raise UnknownExtractorError(
            f"extractor {name!r} does not have the form their_package.module:Class"
        )
    if name not in ARMS:
        near = difflib.get_close_matches(name, ARMS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnknownExtractorError(
            f"unknown extractor {name!r}{hint} (allowed: {', '.join(ARMS)}, "
            "or your own as their_package.module:Class)"
        )


def find_arm(name: str) -> Arm:
    """The arm called `name`; imports the user's module if it is an import path.

    Raises:
        UnknownExtractorError: the name is unknown, the import fails, or the imported object is not
            a subclass of SB3's BaseFeaturesExtractor.
    """
    check_extractor_name(name)
    if not is_import_path(name):
        return ARMS[name]
    try:
        found = import_own(name)
    except Exception as error:  # importing runs user code, which may raise anything
        raise UnknownExtractorError(f"extractor {name!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, BaseFeaturesExtractor)):
        raise UnknownExtractorError(
            f"extractor {name!r} is not a subclass of "
            "stable_baselines3.common.torch_layers.BaseFeaturesExtractor"
        )
    return Arm(f"user's own: {name}", found)


def policy_kwargs(name: str, precision: Precision = "float32") -> dict[str, Any]:
    """`policy_kwargs` that make a policy of SB3 use the network of arm `name`.

    Use it as in `PPO("CnnPolicy", env, policy_kwargs=policy_kwargs("coordconv"))`. Arms whose
    critic differs from the actor, such as `coordconv-actor`, and bfloat16 need
    `policies.AtariPolicy`.
    """
    arm = find_arm(name)
    kwargs = policy_kwargs_for(arm.extractor, **arm.kwargs)
    if arm.critic_kwargs is not None:
        kwargs["share_features_extractor"] = False
        kwargs["critic_extractor_kwargs"] = dict(arm.critic_kwargs)
    if precision != "float32":
        kwargs["precision"] = precision
    return kwargs
