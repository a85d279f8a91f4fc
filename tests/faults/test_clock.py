"""A clock that is set back, during a run or between two parts of one."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import observers
from agents.training import train
from files.events import EventWriter
from records.csv_log import read_csv
from records.folder import RunFolder
from records.rows import Episode
from sweeps.grid import Cell, Sweep
from sweeps.status import progress, write_record


def steps(path: Path, tag: str) -> list[int]:
    events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    return [event.step for event in events.Scalars(tag)]


def test_curves_of_a_run_that_went_on_yesterday(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = EventWriter(tmp_path, 0)
    for step in (10, 20, 30):
        events.scalar("score", 1.0, step)
    events.close()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86_400)
    events = EventWriter(tmp_path, 20)
    for step in (30, 40):
        events.scalar("score", 2.0, step)
    events.close()
    assert steps(tmp_path, "score") == [10, 20, 30, 40]


@pytest.mark.slow
def test_a_run_under_a_clock_that_jumps_back_at_every_look(
    broken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, config = RunFolder.open(broken.path)
    monkeypatch.setattr(observers, "STEPS_BETWEEN_LOGS", 64)
    longer = config.replaced(steps=1200)
    broken.config_file.write_text(longer.to_json())
    broken.done_file.unlink()
    played = len(list(read_csv(broken.episodes_file, Episode._fields)))
    now, looks = time.time(), itertools.count()
    monkeypatch.setattr(time, "time", lambda: now - 3600 * next(looks))
    assert train(longer, broken, resume=True).finished
    rows = list(read_csv(broken.episodes_file, Episode._fields))
    assert len(rows) > played
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    logged = steps(broken.path, "policy/entropy")
    assert (np.diff(logged) > 0).all()
    assert logged[-1] == 1200


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_dead_run_of_a_sweep_is_not_alive_in_the_future(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    sweep = Sweep(("Pong",), ("a2c",), ("nature",), seeds=(1,), runs_dir=tmp_path)
    cell: Cell = sweep.cells()[0]
    write_record(sweep, cell, "running")
    assert progress(sweep, cell).state == "running"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600 * hours)
    assert progress(sweep, cell).state == "interrupted"
