"""Emulators that one test after another plays on: making one takes longer than a small run."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Hashable
from typing import Any

from ale_py import AtariVectorEnv

MOST_IDLE = 2  # of a kind; each keeps its threads


class ReusedEmulators:
    """Makes `AtariVectorEnv`s, or hands out idle ones that were made with the same arguments.

    A seeded reset loads the ROM again, so the games that follow do not depend on those before
    (tests/envs/test_seeded_games.py), and every run begins with one.
    """

    def __init__(self) -> None:
        self._idle = defaultdict[Hashable, list[AtariVectorEnv]](list)

    def __call__(self, game: str, n_envs: int, **options: Any) -> _Borrowed:
        kind = (game, n_envs, *sorted(options.items()))
        idle = self._idle[kind]
        emulators = idle.pop() if idle else AtariVectorEnv(game, n_envs, **options)
        borrowed = _Borrowed(emulators)
        weakref.finalize(borrowed, _give_back, emulators, borrowed.under_way, idle)
        return borrowed


class _Borrowed:
    """An `AtariVectorEnv` that goes back when nobody has it any more."""

    def __init__(self, emulators: AtariVectorEnv) -> None:
        self._emulators = emulators
        self.under_way: list[object] = []  # the actions of a step that nobody has received

    def __getattr__(self, name: str) -> Any:
        return getattr(self._emulators, name)

    def send(self, actions: Any) -> None:
        self.under_way.append(actions)
        self._emulators.send(actions)

    def recv(self) -> Any:
        received = self._emulators.recv()
        self.under_way.clear()
        return received


def _give_back(
    emulators: AtariVectorEnv, under_way: list[object], idle: list[AtariVectorEnv]
) -> None:
    """With a step under way they are of no use: the next reset would receive that step."""
    if not under_way and len(idle) < MOST_IDLE:
        idle.append(emulators)
