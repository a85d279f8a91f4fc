from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from envs import PROTOCOLS, UnknownProtocolError, find_protocol
from envs.protocol import starts_with_fire


def test_v4_is_the_protocol_of_published_tables() -> None:
    assert asdict(PROTOCOLS["v4"]) == {
        "name": "v4",
        "repeat_action_probability": 0.0,
        "life_loss_ends_episode": True,
        "frame_skip": 4,
        "screen_size": 84,
        "stack": 4,
        "noop_max": 30,
        "max_frames": 108_000,
        "clip_rewards": True,
    }


def test_sticky_differs_from_v4_as_machado_et_al_recommend() -> None:
    v4, sticky = asdict(PROTOCOLS["v4"]), asdict(PROTOCOLS["sticky"])
    assert {key: value for key, value in sticky.items() if value != v4[key]} == {
        "name": "sticky",
        "repeat_action_probability": 0.25,
        "life_loss_ends_episode": False,
    }


def test_digests_recorded_by_earlier_runs_do_not_change() -> None:
    assert PROTOCOLS["v4"].digest() == "b10be2f7cdc3"
    assert PROTOCOLS["sticky"].digest() == "1632e60b6462"


def test_every_field_changes_the_digest() -> None:
    base = PROTOCOLS["v4"]
    changes: dict[str, Any] = {
        "name": "other",
        "repeat_action_probability": 0.1,
        "life_loss_ends_episode": False,
        "frame_skip": 2,
        "screen_size": 96,
        "stack": 1,
        "noop_max": 0,
        "max_frames": 18_000,
        "clip_rewards": False,
    }
    assert set(changes) == {field.name for field in fields(base)}
    digests = {replace(base, **{key: value}).digest() for key, value in changes.items()}
    assert len(digests | {base.digest()}) == len(changes) + 1


def test_find_protocol_accepts_a_name_or_a_protocol() -> None:
    assert find_protocol("sticky") is PROTOCOLS["sticky"]
    own = replace(PROTOCOLS["v4"], name="short", max_frames=400)
    assert find_protocol(own) is own


@pytest.mark.parametrize(("wrong", "right"), [("V4", "v4"), ("stiky", "sticky"), ("v5", "v4")])
def test_a_misspelled_protocol_is_refused_with_the_nearest_name(wrong: str, right: str) -> None:
    with pytest.raises(UnknownProtocolError) as caught:
        find_protocol(wrong)
    assert str(caught.value) == (
        f"unknown protocol {wrong!r}: did you mean {right}? The protocols are v4, sticky"
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("repeat_action_probability", 1.0, r"must be in \[0, 1\), got 1.0"),
        ("repeat_action_probability", -0.1, r"must be in \[0, 1\), got -0.1"),
        ("frame_skip", 0, "frame_skip must be at least 1, got 0"),
        ("screen_size", 0, "screen_size must be at least 1, got 0"),
        ("stack", 0, "stack must be at least 1, got 0"),
        ("noop_max", -1, "noop_max must be at least 0, got -1"),
        ("max_frames", 0, "max_frames must be at least 1, got 0"),
        ("max_frames", 402, "multiple of frame_skip = 4, got 402"),
    ],
)
def test_an_impossible_protocol_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PROTOCOLS["v4"], **{field: value})


@pytest.mark.parametrize(
    ("meanings", "expected"),
    [
        (["NOOP", "FIRE", "RIGHT", "LEFT"], True),  # Breakout
        (["NOOP", "UP", "DOWN"], False),  # Freeway
        (["FIRE", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT"], False),  # VideoCheckers
        (["NOOP", "FIRE"], False),
        (["NOOP"], False),
    ],
)
def test_fire_starts_games_with_at_least_three_actions_whose_second_is_fire(
    meanings: list[str], expected: bool
) -> None:
    assert starts_with_fire(meanings) is expected
