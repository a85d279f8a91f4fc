"""What every test has in common: examples, threads, emulators, and waiting that is left out."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from cli import command_line
from envs import batch
from evaluation import sensitivity
from records.algorithm import ALGORITHMS
from tests.emulators import ReusedEmulators

# `--hypothesis-profile long`: what is run once, before a release.
settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.register_profile("long", max_examples=8_000, deadline=None)
settings.load_profile("quick")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with the most work first.

    Each process takes a file at a time (`make test`). With a long file at the end, one process
    would run it while the others have nothing left to do.
    """
    seconds = {"learning": 30, "slow": 3}
    work = Counter[Path]()
    for item in items:
        work[item.path] += sum(seconds.get(mark.name, 0) for mark in item.iter_markers())
    items.sort(key=lambda item: -work[item.path])


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is there before the first test stays: looking through it for garbage takes long."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """One thread of torch at the start of every test, whatever the test before it has set.

    Two threads beside another busy process wait for each other by spinning.
    """
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def few_observations() -> Iterator[None]:
    """Translation sensitivity is measured on 2 observations: on 32 it takes most of a report."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"GAMES": 2, "MOMENTS": 1, "STEPS_BETWEEN": 10}.items():
            patch.setattr(sensitivity, name, value)
        yield


@pytest.fixture(scope="session", autouse=True)
def reused_emulators() -> Iterator[None]:
    """A run in this process plays on the emulators of one before it, with the same games."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch, "AtariVectorEnv", ReusedEmulators())
        yield


@pytest.fixture(scope="session", autouse=True)
def no_leftover_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Stock SB3 makes a log folder for every `learn`; by default beside other programs' files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Writes in the tests' own processes are not flushed to the disk.

    A small run flushes some forty times, which takes 7 % of its time. Only a loss of power
    would show the difference, and no test has one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def short_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run of a sweep measures the speed of 160 steps, not of thousands."""
    find = ALGORITHMS.find
    monkeypatch.setattr(ALGORITHMS, "find", lambda name: replace(find(name), trial_steps=160))


@dataclass(frozen=True)
class Ended:
    """How a script of the suite ended: its exit code and what it printed."""

    code: int
    out: str
    err: str


Shell = Callable[..., Ended]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shell:
    """Runs a script as a shell would, but in this process, which saves the imports.

    `shell("train.py", "--game", "Pong")` or `shell("studies.gan", "--dry-run")`, for `python -m`.
    """

    def run(script: str, *words: object) -> Ended:
        is_study = not script.endswith(".py")
        module = import_module(f"{script}.__main__" if is_study else script.removesuffix(".py"))
        monkeypatch.setattr(sys, "argv", [script, *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            command_line.run(module.PROGRAM if is_study else script, module.main)
        shown = capfd.readouterr()
        return Ended(int(stop.value.code or 0), shown.out, shown.err)

    return run
