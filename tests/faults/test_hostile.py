"""What somebody sends: refused at once, in little memory, without touching anything else."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from agents.agent import load_agent
from agents.build import build_model
from agents.training import train
from cli.errors import UserError
from envs import AtariVecEnv
from evaluation.score import score_run, scored_games
from files.lock import exclusive
from files.untrusted import read_json
from records.algorithm import RMSPROP_TF_LIKE
from records.checkpoint import Checkpoint
from records.config import RunConfig, run_config
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from records.rows import EvaluatedGame
from studies.checkpoint import NAME, load_checkpoint
from studies.folder import ARRAYS, read_arrays, read_curve
from sweeps.grid import FOLDER, RECORD, load_sweep

from .conftest import reseal

MEGABYTES = 500
PATIENCE = 120
"""Seconds until a refusal counts as hung. An idle machine needs less than half of one."""


def refused(use: Callable[[], object]) -> str:
    """The line with which it is refused, before it takes 500 MB or works on what is claimed."""
    before = _peak()
    with _hangs_are_failures(), pytest.raises(UserError) as error:
        use()
    assert _peak() - before < MEGABYTES
    assert len(str(error.value)) < 2000
    return str(error.value)


@contextmanager
def _hangs_are_failures() -> Iterator[None]:
    def fail(*_: object) -> None:
        pytest.fail(f"not refused after {PATIENCE} s")

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _peak() -> float:
    factor = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * factor / 2**20


CONFIGS = {
    "a path as game": {"game": "../../etc/passwd"},
    "an absolute path as game": {"game": "/etc/passwd"},
    "a path as extractor": {"extractor": "../../evil"},
    "a module as extractor": {"extractor": "os:system"},
    "giant rollouts": {"n_envs": 1024, "n_steps": 100_000},
    "giant environments": {"n_envs": 10**18},
    "giant batches": {"batch_size": 10**18},
    "many steps": {"steps": 10**30},
    "negative steps": {"steps": -1},
    "text for a number": {"steps": "1000"},
    "a list for a number": {"seed": [1]},
    "truth for a number": {"seed": True},
    "a fraction": {"n_envs": 1.5},
    "nothing as game": {"game": None},
    "a device": {"device": "cuda:0; rm -rf"},
    "an unknown key": {"__class__": "os.system"},
    "a long unknown key": {"x" * 500_000: 1},
    "a long game": {"game": "x" * 900_000},
}


@pytest.mark.parametrize("change", CONFIGS.values(), ids=CONFIGS)
def test_hostile_configurations(broken: RunFolder, change: dict[str, Any]) -> None:
    values = json.loads(broken.config_file.read_text())
    broken.config_file.write_text(json.dumps({**values, **change}))
    refused(lambda: load_agent(broken.path))


TEXTS = {
    "not a number": b'{"game": "Pong", "gamma": NaN}',
    "infinity": b'{"game": "Pong", "gamma": Infinity}',
    "beyond floats": b'{"game": "Pong", "gamma": 1e999}',
    "a number of 400,000 digits": b'{"game": "Pong", "steps": ' + b"9" * 400_000 + b"}",
    "a hundred megabytes": b'{"game": "' + b"x" * 100_000_000 + b'"}',
    "millions of entries": b"[" + b"1," * 30_000_000 + b"1]",
    "deep": b"[" * 900_000,
    "deep objects": b'{"a":' * 190_000,
    "one name twice": b'{"game": "Pong", "game": "Breakout"}',
    "half a letter": b'{"game": "\xc3"}',
    "a list": b"[]",
    "nothing": b"",
    "zeros": bytes(1000),
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_hostile_json(broken: RunFolder, text: bytes) -> None:
    broken.config_file.write_bytes(text)
    refused(lambda: load_agent(broken.path))


def test_a_billion_entries_that_are_not_even_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with path.open("wb") as file:
        file.truncate(10**12)
    assert "larger than 1,000,000 bytes" in refused(lambda: read_json(path))


def test_pipes_and_devices_are_not_waited_for(broken: RunFolder) -> None:
    broken.config_file.unlink()
    os.mkfifo(broken.config_file)
    refused(lambda: load_agent(broken.path))
    broken.config_file.unlink()
    broken.config_file.symlink_to("/dev/zero")
    refused(lambda: load_agent(broken.path))


def header(entries: dict[str, Any], data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


TENSORS = {
    "overlapping": header({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, bytes(24)),
    "backwards": header({"a": entry([4], 16, 0)}, bytes(16)),
    "beyond the end": header({"a": entry([2**20], 0, 2**22)}, bytes(16)),
    "a giant shape": header({"a": entry([2**40], 0, 2**42)}),
    "a shape that overflows": header({"a": entry([2**33, 2**33], 0, 2**66)}),
    "a header longer than the file": header({}, length=2**62),
    "a header of 100 MB": struct.pack("<Q", 10**8) + b" " * 10**8,
    "a negative shape": header({"a": entry([-1], 0, 4)}, bytes(4)),
    "an unknown type": header({"a": entry([1], 0, 4, "PYOBJ")}, bytes(4)),
    "a hole": header({"a": entry([1], 0, 4), "b": entry([1], 100, 104)}, bytes(104)),
    "many names": header({f"{n}": entry([0], 0, 0) for n in range(10_000)}),
    "another network": header({"a": entry([1], 0, 4)}, bytes(4)),
    "no safetensors": b"PK\x03\x04" + bytes(1000),
}


@pytest.fixture(scope="module")
def policy(finished: tuple[RunFolder, RunConfig]) -> Any:
    """A network with its optimizer, into which nothing hostile gets."""
    _, config = finished
    with closing(AtariVecEnv(config.game, config.environments, threads=1)) as env:
        return build_model(config, env).policy


@pytest.mark.slow
@pytest.mark.parametrize("content", TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize("name", ["policy.safetensors", "optimizer.safetensors"])
def test_hostile_tensors(broken: RunFolder, policy: Any, content: bytes, name: str) -> None:
    checkpoint = list_checkpoints(broken)[-1]
    (checkpoint / name).write_bytes(content)
    reseal(checkpoint)

    def load() -> None:
        opened = Checkpoint(checkpoint)
        opened.load_policy(policy)
        opened.load_optimizer(policy.optimizer, RMSPROP_TF_LIKE)

    assert name in refused(load)


def test_weights_that_are_not_finite(broken: RunFolder) -> None:
    from safetensors.torch import load_file

    path = list_checkpoints(broken)[-1] / "policy.safetensors"
    tensors = load_file(path)
    tensors["action_net.bias"][0] = float("nan")
    save_file(tensors, path)
    reseal(path.parent)
    assert "action_net.bias is not finite" in refused(lambda: load_agent(broken.path))


def test_a_giant_file_of_weights_is_not_read(broken: RunFolder) -> None:
    for checkpoint in list_checkpoints(broken):
        os.truncate(checkpoint / "policy.safetensors", 10**11)
    assert "larger than" in refused(lambda: load_agent(broken.path))


@pytest.mark.parametrize(
    "content",
    [
        b"x" * 100_000_000,
        ",".join(EvaluatedGame._fields).encode() + b"\n" + b"1" * 100_000_000,
        ",".join(EvaluatedGame._fields).encode() + b"\n" + b"800,1,nan,1,stochastic\n",
        ",".join(EvaluatedGame._fields).encode() + b"\n" + b"800,1,1e300,1,stochastic\n",
        ",".join(EvaluatedGame._fields).encode() + b"\n" + b"9" * 5000 + b",1,1,1,stochastic\n",
        ",".join(EvaluatedGame._fields).encode() + b'\n800,1,"1\n",1,stochastic\n',
    ],
    ids=["no lines", "an endless line", "nan", "a giant score", "a giant step", "quotes"],
)
def test_hostile_tables(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "evaluation.csv"
    path.write_bytes(content)
    refused(lambda: scored_games(path, 800, "stochastic"))


@pytest.mark.slow
def test_links_in_a_foreign_run_are_not_written_through(broken: RunFolder, tmp_path: Path) -> None:
    mine = tmp_path / "thesis.txt"
    for name in (".lock", "episodes.csv", "evaluation.csv", ".provenance.json.tmp", "DONE"):
        mine.write_text("mine")
        path = broken.path / name
        path.unlink(missing_ok=True)
        path.symlink_to(mine)
        for use in (
            lambda: train(RunFolder.open(broken.path)[1], broken, resume=True),
            lambda: score_run(broken.path, 3, n_envs=1, threads=1),
        ):
            with suppress(UserError):
                use()
        assert mine.read_text() == "mine", name
        path.unlink(missing_ok=True)


def test_a_link_to_the_table_of_another_run_is_not_followed(
    broken: RunFolder, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    content = broken.episodes_file.read_bytes() + b"of steps behind the checkpoint\n"
    other.write_bytes(content)
    broken.episodes_file.unlink()
    broken.episodes_file.symlink_to(other)
    broken.done_file.unlink()
    with pytest.raises(UserError, match=r"cannot write .*episodes\.csv: Too many levels"):
        train(RunFolder.open(broken.path)[1], broken, resume=True)
    assert other.read_bytes() == content


def test_a_link_in_place_of_the_checkpoints_removes_nothing(
    broken: RunFolder, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    for name in (".ssh", "7", ".9.tmp", ".9.old"):
        (home / name).mkdir(parents=True)
        (home / name / "key").write_text("mine")
    for path in list_checkpoints(broken):
        path.rename(home / path.name)
    broken.checkpoints.rmdir()
    broken.checkpoints.symlink_to(home)
    broken.done_file.unlink()
    train(RunFolder.open(broken.path)[1], broken, resume=True)
    assert [path.read_text() for path in home.rglob("key")] == ["mine"] * 4


def test_a_link_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "other")

    def hold() -> None:
        with exclusive(tmp_path):
            pass

    refused(hold)
    assert not (tmp_path / "other").exists()


def test_hostile_records_of_sweeps(tmp_path: Path) -> None:
    path = tmp_path / FOLDER / RECORD
    path.parent.mkdir()
    for text in ("[]", '{"sweep": 5}', '{"sweep": {"games": 1e5}, "workers": 1}', "[" * 10**5):
        path.write_text(text)
        refused(lambda: load_sweep(tmp_path))


@pytest.mark.slow
def test_arrays_that_unfold_to_gigabytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / ARRAYS
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
        packed.open("a.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(
            member, {"descr": "|u1", "fortran_order": False, "shape": (2**30,)}
        )
        for _ in range(64):
            member.write(bytes(2**24))
    refused(lambda: read_arrays(tmp_path, ["a"]))
    with zipfile.ZipFile(path, "w") as packed, packed.open("a.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
        )
    refused(lambda: read_arrays(tmp_path, ["a"]))
    np.savez(path, a=np.array([print], dtype=object))
    refused(lambda: read_arrays(tmp_path, ["a"]))


def test_hostile_files_of_a_study(tmp_path: Path) -> None:
    network = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    for content in TENSORS.values():
        (tmp_path / NAME).write_bytes(content)
        refused(lambda: load_checkpoint(tmp_path, network, optimizer))
    giant = header(
        {"__metadata__": {"progress": "{}"}, "network.weight": entry([10**9], 0, 4 * 10**9)}
    )
    with (tmp_path / NAME).open("wb") as file:
        file.write(giant)
        file.truncate(len(giant) + 4 * 10**9)
    refused(lambda: load_checkpoint(tmp_path, network, optimizer))
    (tmp_path / "curve.csv").write_bytes(b"step,loss\n" + b"1" * 100_000_000)
    refused(lambda: read_curve(tmp_path, ["step", "loss"]))


def test_a_configuration_alone_decides_nothing_about_memory() -> None:
    with pytest.raises(UserError, match="would not fit in memory"):
        run_config(game="Pong", n_envs=1024, n_steps=1000)
