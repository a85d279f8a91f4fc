"""Checkpoints: tensors in safetensors and everything else in JSON, whole or not there at all.

`checkpoints/<step>/` holds policy.safetensors, optimizer.safetensors and state.json. Nothing in
it can run code when it is read. A checkpoint is written under a temporary name, flushed to disk
and renamed, so a folder whose name is a number is complete.
"""

from __future__ import annotations

import base64
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import Tensor, nn

from agents.run_folder import RunFolder
from programs.durable import as_json, fsync_folder, read_json
from programs.errors import UserError

POLICY_FILE = "policy.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
# A safetensors header of ours is some kilobytes; anything beyond is not a checkpoint of ours.
MAX_HEADER_BYTES = 1_000_000
# What each optimiser keeps for a parameter beside its count of steps, and whether that is a tensor.
MOMENTS: Mapping[type, tuple[tuple[str, ...], bool]] = {
    torch.optim.Adam: (("exp_avg", "exp_avg_sq"), True),
    RMSpropTFLike: (("square_avg",), False),
}


@dataclass(frozen=True)
class TrainingState:
    """Where a run stands: all that a checkpoint holds beside tensors.

    Attributes:
        step: agent steps done.
        updates: SB3's count of updates.
        seconds: wall time of training so far, over all its parts.
        games: finished games.
        resumes: how often the run was continued; each part plays games from seeds of its own.
        score: mean raw score of the last 100 games, None before there are 20.
        episodes_bytes: length of episodes.csv; rows behind it belong to steps that were lost.
        rng: random states of numpy and torch.
    """

    step: int
    updates: int
    seconds: float
    games: int
    resumes: int
    score: float | None
    episodes_bytes: int
    rng: dict[str, Any]


def save_checkpoint(
    folder: RunFolder, policy: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
) -> Path:
    """Write a checkpoint, then remove all but the newest and the best.

    Returns:
        The checkpoint's folder.
    """
    final = folder.checkpoints / str(state.step)
    temporary = folder.checkpoints / f".{state.step}.tmp"
    for leftover in folder.checkpoints.glob(".*"):  # of a process that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(policy_tensors(policy), temporary / POLICY_FILE)
    tensors, steps = _optimizer_state(optimizer)
    save_file(tensors, temporary / OPTIMIZER_FILE)
    content = {**asdict(state), "optimizer_steps": steps}
    (temporary / STATE_FILE).write_text(as_json(content), encoding="utf-8")
    for file in temporary.iterdir():
        _fsync(file)
    fsync_folder(temporary)
    if final.exists():
        shutil.rmtree(final)
    temporary.rename(final)
    fsync_folder(folder.checkpoints)
    _prune(folder)
    return final


def list_checkpoints(folder: RunFolder) -> list[Path]:
    """Complete checkpoints, oldest first."""
    if not folder.checkpoints.is_dir():
        return []
    found = [path for path in folder.checkpoints.iterdir() if path.name.isdecimal()]
    return sorted(found, key=lambda path: int(path.name))


def find_checkpoint(folder: RunFolder, which: str = "newest") -> Path:
    """The checkpoint to use: "newest", "best" or a step.

    Raises:
        UserError: there is none.
    """
    found = list_checkpoints(folder)
    if not found:
        raise UserError(f"{folder.path} has no checkpoint yet: train longer before using it")
    if which == "newest":
        return found[-1]
    if which == "best":
        return _best(found)
    for path in found:
        if path.name == which:
            return path
    steps = ", ".join(path.name for path in found)
    raise UserError(f"{folder.path} has no checkpoint {which!r} (newest, best, or one of {steps})")


def load_policy(checkpoint: Path, policy: nn.Module) -> None:
    """Fill a freshly built network from a checkpoint.

    Raises:
        UserError: the file is missing, damaged, or belongs to another network.
    """
    path = checkpoint / POLICY_FILE
    expected = policy_tensors(policy)
    loaded = _load_tensors(path, expected)
    with torch.no_grad():
        for name, tensor in _live_tensors(policy).items():
            tensor.copy_(loaded[name])


def load_optimizer(checkpoint: Path, optimizer: torch.optim.Optimizer) -> None:
    """Fill a fresh optimiser; its settings stay those it was built with.

    Raises:
        UserError: the file is missing, damaged, or belongs to another network.
    """
    path = checkpoint / OPTIMIZER_FILE
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments, steps_are_tensors = MOMENTS[type(optimizer)]
    expected = {
        f"{index}.{name}": parameter.detach()
        for index, parameter in enumerate(parameters)
        for name in moments
    }
    if steps_are_tensors:
        expected |= {f"{index}.step": torch.tensor(0.0) for index in range(len(parameters))}
    if load_state(checkpoint).updates == 0:
        return  # it has not learned yet
    steps = read_json(checkpoint / STATE_FILE).get("optimizer_steps")
    loaded = _load_tensors(path, expected)
    state: dict[int, dict[str, Any]] = {}
    for index, parameter in enumerate(parameters):
        if steps_are_tensors:
            step: object = loaded[f"{index}.step"]
        else:
            step = steps.get(str(index)) if isinstance(steps, dict) else None
            if type(step) is not int or step < 0:
                raise UserError(f"{checkpoint / STATE_FILE} is damaged: {_remedy(checkpoint)}")
        state[index] = {"step": step}
        for name in moments:
            # In the parameter's own memory order: the fused optimiser walks both side by side.
            moment = torch.empty_like(parameter, requires_grad=False)
            state[index][name] = moment.copy_(loaded[f"{index}.{name}"])
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def load_state(checkpoint: Path) -> TrainingState:
    """The counters and random states of a checkpoint.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = checkpoint / STATE_FILE
    content = read_json(path)
    try:
        score = content["score"]
        state = TrainingState(
            step=_count(content["step"]),
            updates=_count(content["updates"]),
            seconds=float(content["seconds"]),
            games=_count(content["games"]),
            resumes=_count(content["resumes"]),
            score=None if score is None else float(score),
            episodes_bytes=_count(content["episodes_bytes"]),
            rng=dict(content["rng"]),
        )
        if not all(math.isfinite(number) for number in (state.seconds, state.score or 0.0)):
            raise ValueError("a number is infinite")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is damaged: {error!r}; {_remedy(checkpoint)}") from error
    if str(state.step) != checkpoint.name:
        raise UserError(f"{path} is of step {state.step}, not of {checkpoint.name}")
    return state


def random_states() -> dict[str, Any]:
    """The states of numpy's and torch's global generators, as JSON can hold them."""
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - the stream SB3 shuffles with
    assert isinstance(legacy, dict)
    keys = np.asarray(legacy["state"]["key"], dtype="<u4")
    return {
        "numpy": {"key": _encode(keys.tobytes()), "pos": int(legacy["state"]["pos"])},
        "torch": _encode(torch.get_rng_state().numpy().tobytes()),
        "cuda": [_encode(s.numpy().tobytes()) for s in torch.cuda.get_rng_state_all()]
        if torch.cuda.is_available()
        else [],
    }


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Continue the streams that `random_states` recorded.

    Raises:
        UserError: the states are damaged.
    """
    try:
        key = np.frombuffer(_decode(states["numpy"]["key"]), dtype="<u4").astype(np.uint32)
        if len(key) != 624 or not 0 <= int(states["numpy"]["pos"]) <= 624:
            raise ValueError("no state of numpy's generator")  # numpy itself would believe it
        position = int(states["numpy"]["pos"])
        np.random.set_state(("MT19937", key, position, 0, 0.0))  # noqa: NPY002
        torch.set_rng_state(_byte_tensor(states["torch"]))
        if torch.cuda.is_available() and states["cuda"]:
            torch.cuda.set_rng_state_all([_byte_tensor(text) for text in states["cuda"]])
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise UserError(f"the checkpoint's random states are damaged: {error}") from error


def policy_tensors(policy: nn.Module) -> dict[str, Tensor]:
    """Contiguous CPU copies of every parameter and buffer, each once, by its first name."""
    return {
        name: tensor.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for name, tensor in _live_tensors(policy).items()
    }


def _live_tensors(policy: nn.Module) -> dict[str, Tensor]:
    # Iterating names once each: SB3 registers a shared trunk under three.
    return {**dict(policy.named_parameters()), **dict(policy.named_buffers())}


def _optimizer_state(
    optimizer: torch.optim.Optimizer,
) -> tuple[dict[str, Tensor], dict[str, int]]:
    tensors: dict[str, Tensor] = {}
    steps: dict[str, int] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                contiguous = value.detach().to(
                    "cpu", memory_format=torch.contiguous_format, copy=True
                )
                tensors[f"{index}.{name}"] = contiguous
            else:
                steps[str(index)] = value
    return tensors, steps


def _load_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, which must have exactly the expected names, shapes and dtypes."""
    try:
        largest = sum(t.numel() * t.element_size() for t in expected.values())
        if path.stat().st_size > largest + MAX_HEADER_BYTES:
            raise UserError(f"{path} is larger than the network of its config.json")
        loaded = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"cannot read {path}: {error}; {_remedy(path.parent)}") from error
    if set(loaded) != set(expected):
        odd = sorted(set(loaded) ^ set(expected))[0]
        raise UserError(f"{path} belongs to another network: {odd!r} is in only one of them")
    for name, tensor in expected.items():
        if loaded[name].shape != tensor.shape or loaded[name].dtype != tensor.dtype:
            raise UserError(
                f"{path} belongs to another network: {name} is "
                f"{tuple(loaded[name].shape)} {loaded[name].dtype}, "
                f"expected {tuple(tensor.shape)} {tensor.dtype}"
            )
    return loaded


def _prune(folder: RunFolder) -> None:
    found = list_checkpoints(folder)
    keep = {found[-1], _best(found)}
    for path in found:
        if path not in keep:
            # Renamed first: a folder whose name is a number is always complete.
            doomed = path.with_name(f".{path.name}.old")
            path.rename(doomed)
            shutil.rmtree(doomed)


def _best(found: list[Path]) -> Path:
    """The checkpoint with the highest mean training score; the newer one of equals."""

    def merit(path: Path) -> tuple[float, int]:
        try:
            score = load_state(path).score
        except UserError:
            score = None  # damaged: never the best, and no reason to stop training
        return (-math.inf if score is None else score, int(path.name))

    return max(found, key=merit)


def _remedy(checkpoint: Path) -> str:
    return f"delete {checkpoint} to use the checkpoint before it"


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _decode(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _byte_tensor(text: str) -> Tensor:
    return torch.frombuffer(bytearray(_decode(text)), dtype=torch.uint8)


def _fsync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
