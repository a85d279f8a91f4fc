"""Checkpoints: tensors in safetensors and everything else in JSON, whole or not there at all.

`checkpoints/<step>/` holds policy.safetensors, optimizer.safetensors and state.json. Nothing in
it can run code when it is read. It is written under a temporary name, flushed to disk and renamed,
so a folder whose name is a number is complete. state.json holds the digests of the other two files
and of itself: what was damaged later is noticed, and never played or trained on. Which checkpoints
are kept and which one is used: records/kept_checkpoints.py.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import Tensor, nn

from cli.errors import CannotReadError, UserError
from files.durable import (
    as_json,
    cannot_write,
    fsync_folder,
    temporary_name,
    write_durably,
)
from files.untrusted import read_bytes, read_json, require_file, sealed, unsealed

POLICY_FILE = "policy.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
# In state.json beside the TrainingState: RMSprop's counts, and SHA-256 of the other two files.
OPTIMIZER_STEPS = "optimizer_steps"
DIGESTS = "files"
# A safetensors header of ours is some kilobytes; anything beyond is not a checkpoint of ours.
MAX_HEADER_BYTES = 1_000_000
# A file is hashed without knowing its network up to this size, half a second of work.
MAX_BYTES_LOOKED_AT = 500_000_000
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


def write_checkpoint(
    final: Path, policy: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
) -> None:
    """Write a checkpoint; it is there completely, or not at all.

    Raises:
        CannotWriteError: a part of it may be left under the temporary name.
    """
    temporary = final.with_name(f".{final.name}.tmp")
    optimizer_tensors, steps = _optimizer_state(optimizer)
    digests: dict[str, str] = {}
    try:
        temporary.mkdir(parents=True)
        # One after the other, and without copies: a run's memory peaks here.
        files = {POLICY_FILE: _live_tensors(policy), OPTIMIZER_FILE: optimizer_tensors}
        for name, tensors in files.items():
            digests[name] = _write_tensors(temporary / name, tensors)
        record = {**asdict(state), OPTIMIZER_STEPS: steps, DIGESTS: digests}
        write_durably(temporary / STATE_FILE, as_json(sealed(record)))
        temporary.rename(final)
        fsync_folder(final.parent)
    except OSError as error:
        raise cannot_write(final, error) from error


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> str:
    """Write a file of tensors; its digest."""
    content = save(_apart(tensors))
    write_durably(path, content)
    return hashlib.sha256(content).hexdigest()


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove our own files and no other: whoever sent a run may have laid a link to anywhere."""
    with suppress(OSError):
        for name in (POLICY_FILE, OPTIMIZER_FILE, STATE_FILE):
            for path in (checkpoint / name, temporary_name(checkpoint / name)):
                path.unlink(missing_ok=True)
        checkpoint.rmdir()


def damage_of(checkpoint: Path) -> UserError | None:
    """What is wrong with a checkpoint's files; None if they are as they were written."""
    try:
        load_state(checkpoint)
        for name in (POLICY_FILE, OPTIMIZER_FILE):
            _require_as_written(checkpoint / name)
    except UserError as error:
        return error
    return None


def load_policy(checkpoint: Path, policy: nn.Module) -> None:
    """Fill a freshly built network from a checkpoint.

    Raises:
        UserError: the file is missing, damaged, or belongs to another network.
    """
    path = checkpoint / POLICY_FILE
    live = _live_tensors(policy)
    loaded = _load_tensors(path, {name: _contiguous(tensor) for name, tensor in live.items()})
    with torch.no_grad():
        for name, tensor in live.items():
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
    steps = _record(checkpoint).get(OPTIMIZER_STEPS)
    loaded = _load_tensors(path, expected)
    state: dict[int, dict[str, Any]] = {}
    for index, parameter in enumerate(parameters):
        if steps_are_tensors:
            step: object = loaded[f"{index}.step"]
        else:
            step = steps.get(str(index)) if isinstance(steps, dict) else None
            if type(step) is not int or step < 0:
                raise UserError(f"{checkpoint / STATE_FILE} is damaged: a count of steps is none")
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
    content = _record(checkpoint)
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
        raise UserError(f"{path} is damaged: {error!r}") from error
    if str(state.step) != checkpoint.name:
        raise UserError(f"{path} is of step {state.step}, not of {checkpoint.name}")
    return state


def _contiguous(tensor: Tensor) -> Tensor:
    """The tensor on the CPU, one element behind the other; itself where it is so already."""
    return tensor.detach().to("cpu").contiguous()


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous on the CPU, a copy only of those that share memory with an earlier one."""
    apart: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        contiguous = _contiguous(tensor)
        address = contiguous.untyped_storage().data_ptr()
        apart[name] = contiguous.clone() if address in taken else contiguous
        taken.add(address)
    return apart


def _live_tensors(policy: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer, by its first name."""
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
                tensors[f"{index}.{name}"] = value
            else:
                steps[str(index)] = value
    return tensors, steps


def _record(checkpoint: Path) -> dict[str, Any]:
    """The content of state.json; an unknown name is damage, or from a later version."""
    path = checkpoint / STATE_FILE
    record = unsealed(read_json(path), path)
    unknown = set(record) - {field.name for field in fields(TrainingState)} - {
        OPTIMIZER_STEPS, DIGESTS,
    }  # fmt: skip
    if unknown:
        raise UserError(f"{path} is damaged: it has the unknown {sorted(unknown)[0][:80]!r}")
    return record


def _digest_of(path: Path) -> str | None:
    """What state.json says of a file beside it; None of a run from before there were digests."""
    digests = _record(path.parent).get(DIGESTS, {})
    return digests.get(path.name) if isinstance(digests, dict) else None


def _require_as_written(path: Path) -> None:
    """Raises UserError unless a file is as it was written, as far as can be told without loading.

    A larger one than any network of the suite's is judged when its own network is known.
    """
    require_file(path)
    expected = _digest_of(path)
    try:
        if path.stat().st_size > MAX_BYTES_LOOKED_AT:
            return
        if expected is None:
            with safe_open(path, framework="pt"):
                return
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CannotReadError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if found != expected:
        raise UserError(f"{path} is damaged: its content is not what was written")


def _load_tensors(path: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, which must have exactly the expected names, shapes and dtypes."""
    largest = sum(t.numel() * t.element_size() for t in expected.values())
    content = read_bytes(path, largest + MAX_HEADER_BYTES)
    if _digest_of(path) not in (None, hashlib.sha256(content).hexdigest()):
        raise UserError(f"{path} is damaged: its content is not what was written")
    try:
        loaded = load(content)
    except (SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if set(loaded) != set(expected):
        odd = sorted(set(loaded) ^ set(expected))[0][:80]
        raise UserError(f"{path} belongs to another network: {odd!r} is in only one of them")
    for name, tensor in expected.items():
        if loaded[name].shape != tensor.shape or loaded[name].dtype != tensor.dtype:
            raise UserError(
                f"{path} belongs to another network: {name} is "
                f"{tuple(loaded[name].shape)} {loaded[name].dtype}, "
                f"expected {tuple(tensor.shape)} {tensor.dtype}"
            )
        # Somebody's own network may have a mask of infinities.
        if torch.isfinite(tensor).all() and not torch.isfinite(loaded[name]).all():
            raise UserError(f"{path} is damaged: {name} is not finite")
    return loaded


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
