"""Checkpoints: tensors in safetensors and everything else in JSON, whole or not there at all.

`checkpoints/<step>/` holds policy.safetensors, optimizer.safetensors and state.json. Nothing in
it can run code when it is read. A checkpoint is written under a temporary name, flushed to disk
and renamed, so a folder whose name is a number is complete. state.json holds the digests of the
other two files and of itself: what was damaged later is noticed, and never played or trained on.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import sys
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

from agents.run_folder import RunFolder
from programs.durable import (
    as_json,
    cannot_write,
    fsync_folder,
    temporary_name,
    write_durably,
)
from programs.errors import CannotReadError, UserError
from programs.untrusted import read_bytes, read_json, require_file, sealed, unsealed

POLICY_FILE = "policy.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
# In state.json beside the TrainingState: RMSprop's counts, and SHA-256 of the other two files.
OPTIMIZER_STEPS = "optimizer_steps"
DIGESTS = "files"
# A safetensors header of ours is some kilobytes; anything beyond is not a checkpoint of ours.
MAX_HEADER_BYTES = 1_000_000
# A larger file is looked at only when its network is known, whose size is then the limit.
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


def save_checkpoint(
    folder: RunFolder, policy: nn.Module, optimizer: torch.optim.Optimizer, state: TrainingState
) -> Path:
    """Write a checkpoint, then remove all but the newest two and the best.

    Two, so that there is one left when the newest is damaged.

    Returns:
        The checkpoint's folder.

    Raises:
        CannotWriteError: the older checkpoints stand.
    """
    final = folder.checkpoints / str(state.step)
    temporary = folder.checkpoints / f".{state.step}.tmp"
    tensors, steps = _optimizer_state(optimizer)
    contents = {POLICY_FILE: save(policy_tensors(policy)), OPTIMIZER_FILE: save(tensors)}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    record = {**asdict(state), OPTIMIZER_STEPS: steps, DIGESTS: digests}
    contents[STATE_FILE] = as_json(sealed(record)).encode()
    try:
        temporary.mkdir(parents=True)
        for name, content in contents.items():
            write_durably(temporary / name, content)
        temporary.rename(final)
        fsync_folder(folder.checkpoints)
        _prune(folder)
    except OSError as error:
        raise cannot_write(final, error) from error
    finally:
        clear_leftovers(folder)
    return final


def clear_leftovers(folder: RunFolder) -> None:
    """Remove checkpoints that were not finished, or not quite removed; the folder must be held."""
    for leftover in folder.checkpoints.glob(".*"):
        if re.fullmatch(r"\.[0-9]+\.(tmp|old)", leftover.name) and not leftover.is_symlink():
            _remove(leftover)


def _remove(checkpoint: Path) -> None:
    """Remove our own files and no other: whoever sent a run may have laid a link to anywhere."""
    with suppress(OSError):
        for name in (POLICY_FILE, OPTIMIZER_FILE, STATE_FILE):
            for path in (checkpoint / name, temporary_name(checkpoint / name)):
                path.unlink(missing_ok=True)
        checkpoint.rmdir()


def list_checkpoints(folder: RunFolder) -> list[Path]:
    """Checkpoints, oldest first; complete, but for what happened to them since."""
    try:
        found = [p for p in folder.checkpoints.iterdir() if re.fullmatch(r"[0-9]{1,15}", p.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {folder.checkpoints}: {error.strerror}") from error
    return sorted(found, key=lambda path: int(path.name))


def named_checkpoints(folder: RunFolder, which: str = "newest") -> list[Path]:
    """The checkpoints that "newest", "best" or a step means, the preferred one first.

    Raises:
        UserError: there is none.
    """
    found = list_checkpoints(folder)
    if not found:
        raise UserError(f"{folder.path} has no checkpoint yet: train longer before using it")
    if which == "newest":
        return found[::-1]
    if which == "best":
        return sorted(found, key=_merit, reverse=True)
    for path in found:
        if path.name == which:
            return [path]
    steps = ", ".join(path.name for path in found)
    raise UserError(f"{folder.path} has no checkpoint {which!r} (newest, best, or one of {steps})")


def find_checkpoint(folder: RunFolder, which: str = "newest", *, to_continue: bool = False) -> Path:
    """The checkpoint to use: "newest", "best" or a step.

    In place of a damaged one the next is used, and stderr says so.

    Args:
        folder: of the run.
        which: of its checkpoints.
        to_continue: what is newer will be given up, and so must be damaged: one that only cannot
            be read at the moment is an error.

    Raises:
        UserError: there is none, or all are damaged.
    """
    damages: list[str] = []
    for path in named_checkpoints(folder, which):
        damage = _damage(path)
        if to_continue and isinstance(damage, CannotReadError):
            raise damage
        if damage is None:
            for text in damages:
                print(f"{text}: using checkpoint {path.name} in its place", file=sys.stderr)
            return path
        damages.append(str(damage))
    raise UserError(
        f"{damages[0]}, and there is no other in its place: restore the file, or train anew"
    )


def set_damaged_aside(folder: RunFolder, used: Path) -> None:
    """Rename checkpoints that are newer than the one used, so that training can come to them.

    The rows of their steps are about to be dropped, and are kept in copies.
    """
    newer = [path for path in list_checkpoints(folder) if int(path.name) > int(used.name)]
    for table in (folder.episodes_file, folder.evaluation_file):
        if newer and table.is_file():
            copy = table.with_name(f"{table.name}.until-{newer[-1].name}")
            write_durably(copy, table.read_bytes())
    if newer:
        for path in newer:
            free = (f"{path.name}.damaged{n or ''}" for n in itertools.count())
            target = next(path.with_name(n) for n in free if not path.with_name(n).exists())
            path.rename(target)
            print(f"{path} is kept as {target.name}", file=sys.stderr)


def _damage(checkpoint: Path) -> UserError | None:
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


def _require_as_written(path: Path) -> None:
    """Raises UserError unless a file has the digest in state.json, where there is one."""
    require_file(path)
    digests = _record(path.parent).get(DIGESTS, {})
    expected = digests.get(path.name) if isinstance(digests, dict) else None
    try:
        if path.stat().st_size > MAX_BYTES_LOOKED_AT:
            return
        if expected is None:  # of a run from before there were digests: is it whole at least?
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
    _require_as_written(path)
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


def _prune(folder: RunFolder) -> None:
    found = list_checkpoints(folder)
    keep = {*found[-2:], max(found, key=_merit)}
    for path in found:
        if path not in keep:
            # Renamed first: a folder whose name is a number is always complete.
            path.rename(path.with_name(f".{path.name}.old"))


def _merit(checkpoint: Path) -> tuple[float, int]:
    """What makes a checkpoint the best: its mean training score; of equals the newer one."""
    try:
        score = load_state(checkpoint).score
    except UserError:
        score = None  # damaged: never the best, and no reason to stop training
    return (-math.inf if score is None else score, int(checkpoint.name))


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
