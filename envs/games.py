"""The games: every single-player game that ale-py ships, by name.

>>> rom_id("MsPacman")
'ms_pacman'
>>> n_actions("Breakout")
4
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import gymnasium
from ale_py import ALEInterface, LoggerMode, roms

# ale-py registers each single-player game as ALE/<Name>-v5, together with the id of its ROM.
_ENV_ID = re.compile(r"ALE/(\w+)-v5")

GAMES: Mapping[str, str] = MappingProxyType(
    {
        match[1]: spec.kwargs["game"]
        for spec in gymnasium.registry.values()
        if (match := _ENV_ID.fullmatch(spec.id))
    }
)
"""Name of a game, as in `ALE/<name>-v5` -> id of its ROM, as in `ale_py.roms`."""


class UnknownGameError(ValueError):
    """No game has this name; the message suggests the nearest ones."""

    def __init__(self, name: str) -> None:
        name = name[:80]  # it may be hostile
        by_key = {_key(game): game for game in GAMES}
        nearest = [by_key[key] for key in difflib.get_close_matches(_key(name), by_key)]
        hint = f"did you mean {' or '.join(nearest)}?" if nearest else "no name is similar."
        super().__init__(
            f"unknown game {name!r}: {hint} There are {len(GAMES)} games, named as in MsPacman"
        )


def rom_id(game: str) -> str:
    """The id of a game's ROM.

    Raises:
        UnknownGameError: no game has exactly this name.
    """
    try:
        return GAMES[game]
    except KeyError:
        raise UnknownGameError(game) from None


@cache
def action_meanings(game: str) -> tuple[str, ...]:
    """What each action of the game's minimal action set does, such as ("NOOP", "FIRE", "RIGHT").

    Raises:
        UnknownGameError: no game has exactly this name.
    """
    rom = roms.get_rom_path(rom_id(game))
    assert rom is not None, f"ale-py registers {game} but ships no ROM for it"
    ALEInterface.setLoggerMode(LoggerMode.Error)  # otherwise each interface prints a banner
    ale = ALEInterface()
    ale.loadROM(rom)
    return tuple(action.name for action in ale.getMinimalActionSet())


def n_actions(game: str) -> int:
    """The size of the game's minimal action set.

    Raises:
        UnknownGameError: no game has exactly this name.
    """
    return len(action_meanings(game))


def _key(name: str) -> str:
    """A normalized name for comparison: "ALE/Ms_Pacman-v5" and "mspacman" are equal."""
    name = re.sub(r"^ALE/|(NoFrameskip|Deterministic)?-v\d+$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[\W_]", "", name).lower()
