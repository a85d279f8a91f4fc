"""Random damage to every file that is loaded: refused with a line, or read; nothing else happens.

    pytest tests/faults/test_fuzz.py --hypothesis-profile long

tries 8,000 inputs on each loader, more than 100,000 altogether; the quick profile tries 60.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from cli.errors import UserError
from evaluation.curves import read_curve
from evaluation.score import scored_games
from files.untrusted import read_bytes, sealed
from records.checkpoint import DIGESTS, OPTIMIZER_STEPS, read_state, tensors_in
from records.config import run_config
from records.csv_log import read_csv
from records.folder import RunFolder
from records.random_states import random_states, restore_random_states
from records.rows import Episode, EvaluatedGame
from studies.checkpoint import NAME, load_checkpoint, save_checkpoint
from studies.coordinates import results as coordinates
from studies.detection import results as detection
from studies.folder import ARRAYS, CURVE, RESULT, ExperimentFolder, read_arrays
from studies.folder import read_curve as read_study_curve
from studies.gan import results as gan
from sweeps.grid import FOLDER, RECORD, Sweep, load_sweep, save_sweep

FORBIDDEN = (
    "pickle.find_class",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "ctypes.dlopen",
    "socket.connect",
    "os.remove",
    "shutil.rmtree",
)

watching: list[str] = []
caught: list[str] = []


def _listen(event: str, arguments: object) -> None:
    # compile: json and numpy make no code; numpy's literal_eval compiles to a tree only.
    if watching and event.startswith(FORBIDDEN):
        caught.append(f"{event} {arguments!r:.200}")


sys.addaudithook(_listen)


@contextmanager
def no_code_runs() -> Iterator[None]:
    """Python itself tells of every process, import from a pickle, or deletion."""
    watching.append("now")
    caught.clear()
    try:
        yield
    finally:
        watching.pop()
    assert not caught


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """A valid file with damage: bits, cuts, other bytes, doubled parts; or no such file at all."""

    @st.composite
    def damage(draw: st.DrawFn) -> bytes:
        data = bytearray(content)
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(data)))
            kind = draw(st.sampled_from(["flip", "cut", "insert", "replace", "double"]))
            if kind == "flip" and at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            elif kind == "cut":
                del data[at:]
            elif kind == "insert":
                data[at:at] = draw(st.binary(max_size=20))
            elif kind == "replace":
                other = draw(st.binary(min_size=1, max_size=20))
                data[at : at + len(other)] = other
            elif kind == "double":
                data[at:at] = data[at : at + draw(st.integers(1, 200))]
        return bytes(data)

    return damage() | st.binary(max_size=300)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["../../x", "os:system", "1e999", "\ud800", "nan", "Pong", "a2c"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


def changed(record: dict[str, Any], seal: bool = False) -> st.SearchStrategy[bytes]:
    """A valid record with other values, missing names and unknown ones; as JSON, or damaged."""
    names = st.sampled_from(sorted(record)) | st.text(max_size=9)

    @st.composite
    def change(draw: st.DrawFn) -> bytes:
        values = dict(record)
        for name, value in draw(st.dictionaries(names, JSON, max_size=3)).items():
            values[name] = value
        for name in draw(st.lists(names, max_size=1)):
            values.pop(name, None)
        return json.dumps(sealed(values) if seal else values).encode()

    return change() | mutated(json.dumps(record, indent=2).encode())


CONFIG = json.loads(run_config(game="Pong").to_json())
STATE = {
    "step": 64,
    "updates": 4,
    "seconds": 1.5,
    "games": 3,
    "resumes": 0,
    "score": 1.25,
    "episodes_bytes": 100,
    "rng": random_states(),
    OPTIMIZER_STEPS: {"0": 4},
    DIGESTS: {},
}
TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}
EPISODES = b"step,seconds,score,length\n16,0.50,3,120\n32,0.90,-4,130\n48,1.00,5,140\n"
EVALUATION = b"step,seed,score,length,mode\n16,1,3,120,stochastic\n16,3,4,99,deterministic\n"
SWEEP = Sweep(("Pong",), seeds=(1,))


def _committed(pattern: str) -> Any:
    return json.loads(next(Path("docs/results").glob(f"{pattern}/seed-1/{RESULT}")).read_text())


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, a=np.arange(6.0), b=np.zeros((2, 3), np.uint8))
    return file.getvalue()


def _study(folder: Path) -> tuple[nn.Module, torch.optim.Optimizer]:
    network = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    return network, optimizer


def _study_checkpoint() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), *_study(Path(folder)), {"step": 1})
        return (Path(folder) / NAME).read_bytes()


def _sweep_record() -> dict[str, Any]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save_sweep(Sweep(("Pong",), seeds=(1,), runs_dir=Path(folder)), {"workers": 1})
        content: dict[str, Any] = json.loads((Path(folder) / FOLDER / RECORD).read_text())
        return content


SWEEP_RECORD = _sweep_record()
# (file that is written, what is in it, what reads it)
LOADERS: dict[str, tuple[str, st.SearchStrategy[bytes], Callable[[Path], object]]] = {
    "configuration": ("config.json", changed(CONFIG), RunFolder.open),
    "provenance": (
        "provenance.json",
        changed({"config": CONFIG, "resumed": []}, seal=True),
        lambda folder: RunFolder(folder)._require_as_started(
            run_config(game="Pong"), RunFolder(folder)._provenance()
        ),
    ),
    "state": ("64/state.json", changed(STATE, seal=True), lambda f: read_state(f / "64")),
    "tensors": (
        "policy.safetensors",
        mutated(save(TENSORS)),
        lambda folder: tensors_in(
            folder / "policy.safetensors",
            read_bytes(folder / "policy.safetensors", 10**6),
            TENSORS,
        ),
    ),
    "games": (
        "episodes.csv",
        mutated(EPISODES),
        lambda folder: (
            list(read_csv(folder / "episodes.csv", Episode._fields)),
            read_curve(folder, 1_000_000),
        ),
    ),
    "scores": (
        "evaluation.csv",
        mutated(EVALUATION),
        lambda folder: (
            list(read_csv(folder / "evaluation.csv", EvaluatedGame._fields)),
            scored_games(folder / "evaluation.csv", 16, "stochastic"),
        ),
    ),
    "sweep": (f"{FOLDER}/{RECORD}", changed(SWEEP_RECORD), load_sweep),
    "sweep's values": (
        f"{FOLDER}/{RECORD}",
        changed(SWEEP_RECORD["sweep"]).map(lambda text: b'{"workers": 1, "sweep": ' + text + b"}"),
        lambda folder: load_sweep(folder)[0],
    ),
    "study's settings": (
        "settings.json",
        changed({"seed": 1, "training": {"epochs": 3}}),
        lambda folder: ExperimentFolder(folder, {"seed": 1, "training": {"epochs": 3}}),
    ),
    "study's result": (
        RESULT,
        changed(_committed("coordinates/*/*/*")),
        lambda folder: coordinates.table([coordinates.read_experiment(folder)]),
    ),
    "GAN's result": (
        RESULT,
        changed(_committed("gan/*")),
        lambda folder: gan.table([gan.read_experiment(folder)]),
    ),
    "detection's result": (
        RESULT,
        changed(_committed("detection/*/*")),
        lambda folder: detection.table([detection.read_experiment(folder)]),
    ),
    "study's curve": (
        CURVE,
        mutated(b"step,loss\n1,0.5\n2,0.25\n"),
        lambda folder: read_study_curve(folder, ["step", "loss"]),
    ),
    "study's arrays": (ARRAYS, mutated(_npz()), lambda folder: read_arrays(folder, ["a"])),
    "study's checkpoint": (
        NAME,
        mutated(_study_checkpoint()),
        lambda folder: load_checkpoint(folder, *_study(folder)),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("loader", LOADERS)
def test_every_loader_reads_or_refuses(loader: str, tmp_path: Path) -> None:
    name, contents, load = LOADERS[loader]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "state.json").write_text(json.dumps(STATE))

    @settings(suppress_health_check=list(HealthCheck))
    @given(contents)
    def read_or_refuse(content: bytes) -> None:
        path.write_bytes(content)
        told = ""
        with no_code_runs():
            try:
                load(tmp_path)
            except UserError as error:
                told = str(error)
        assert len(told) < 3000

    read_or_refuse()


@settings(suppress_health_check=list(HealthCheck))
@given(st.dictionaries(st.sampled_from(["numpy", "torch", "cuda"]), JSON))
def test_random_states(states: dict[str, Any]) -> None:
    valid = random_states()
    try:
        restore_random_states({**valid, **states})
    except UserError:
        pass
    finally:
        restore_random_states(valid)
