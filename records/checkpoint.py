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
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
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
from records.algorithm import OptimizerState

POLICY_FILE = "policy.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
STATE_FILE = "state.json"
# In state.json beside the TrainingState: RMSprop's counts, and SHA-256 of the other two files.
OPTIMIZER_STEPS = "optimizer_steps"
DIGESTS = "files"
# A safetensors header of ours is some kilobytes; anything beyond is not a checkpoint of ours.
MAX_HEADER_BYTES = 1_000_000
# A file is verified without knowing its network up to this size, half a second of work.
MAX_BYTES_LOOKED_AT = 200_000_000


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


class Checkpoint:
    """A checkpoint that was opened once: its state is read and its files are as they were written.

    An agent that is only to play may have been published without its optimizer.

    Args:
        path: its folder.
        to_continue: training goes on from it.

    Attributes:
        path: its folder.
        state: where the run stood.
        policy_sha256: of the file that `load_policy` filled a network from.

    Raises:
        UserError: a file is missing or damaged.
        CannotReadError: a file cannot be read at the moment, which says nothing about its content.
    """

    policy_sha256: str

    def __init__(self, path: Path, *, to_continue: bool = False) -> None:
        self.path = path
        record = _record(path / STATE_FILE)
        self.state = _state(path / STATE_FILE, record)
        self._optimizer_steps = record.get(OPTIMIZER_STEPS)
        digests = record.get(DIGESTS)
        # None of a run from before there were digests.
        self._digests: Mapping[str, Any] = digests if isinstance(digests, dict) else {}
        # What was read to be verified is what is loaded, once.
        names = [POLICY_FILE]
        if to_continue or os.path.lexists(path / OPTIMIZER_FILE):
            names.append(OPTIMIZER_FILE)
        self._contents = {name: self._verified(name) for name in names}

    def load_policy(self, policy: nn.Module) -> None:
        """Fill a freshly built network.

        Raises:
            UserError: the file belongs to another network.
        """
        live = _live_tensors(policy)
        expected = {name: _contiguous(tensor) for name, tensor in live.items()}
        loaded = self._tensors(POLICY_FILE, expected)
        with torch.no_grad():
            for name, tensor in live.items():
                tensor.copy_(loaded[name])

    def load_optimizer(self, optimizer: torch.optim.Optimizer, kept: OptimizerState) -> None:
        """Fill a fresh optimizer; its settings stay those it was built with.

        Args:
            optimizer: of the network that the checkpoint is of.
            kept: what such an optimizer keeps.

        Raises:
            UserError: the file belongs to another network or optimizer.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        expected = {
            f"{index}.{name}": parameter.detach()
            for index, parameter in enumerate(parameters)
            for name in kept.moments
        }
        if kept.steps_are_tensors:
            expected |= {f"{index}.step": torch.tensor(0.0) for index in range(len(parameters))}
        if self.state.updates == 0:
            return  # it has not learned yet
        loaded = self._tensors(OPTIMIZER_FILE, expected)
        state: dict[int, dict[str, Any]] = {}
        for index, parameter in enumerate(parameters):
            step = loaded[f"{index}.step"] if kept.steps_are_tensors else self._step_of(index)
            state[index] = {"step": step}
            for name in kept.moments:
                # In the parameter's own memory order: the fused optimizer walks both side by side.
                moment = torch.empty_like(parameter, requires_grad=False)
                state[index][name] = moment.copy_(loaded[f"{index}.{name}"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def _step_of(self, index: int) -> int:
        steps = self._optimizer_steps
        step = steps.get(str(index)) if isinstance(steps, dict) else None
        if type(step) is not int or step < 0:
            raise UserError(f"{self.path / STATE_FILE} is damaged: a count of steps is none")
        return step

    def _verified(self, name: str) -> bytes | None:
        """The content of a file; None of one too large to be looked at before its network is known.

        Raises:
            UserError: it is not what was written.
        """
        path = self.path / name
        require_file(path)
        try:
            if path.stat().st_size > MAX_BYTES_LOOKED_AT:
                return None
        except OSError as error:
            raise CannotReadError(f"cannot read {path}: {error.strerror or error}") from error
        content = read_bytes(path, MAX_BYTES_LOOKED_AT)
        self._require_as_written(name, content)
        return content

    def _require_as_written(self, name: str, content: bytes) -> None:
        expected = self._digests.get(name)
        found = hashlib.sha256(content).hexdigest()
        if name == POLICY_FILE:
            self.policy_sha256 = found
        if expected is None:
            _parsed(self.path / name, content)
        elif found != expected:
            raise UserError(f"{self.path / name} is damaged: its content is not what was written")

    def _tensors(self, name: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file, which must have exactly the expected names, shapes and dtypes."""
        path = self.path / name
        largest = sum(t.numel() * t.element_size() for t in expected.values()) + MAX_HEADER_BYTES
        content = self._contents.pop(name, None)
        if content is None or len(content) > largest:
            content = read_bytes(path, largest)
            self._require_as_written(name, content)
        return tensors_in(path, content, expected)


def tensors_in(path: Path, content: bytes, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file's content.

    Args:
        path: the file, for messages.
        content: its bytes.
        expected: tensors of the names, shapes and dtypes that have to be there, and no others.

    Raises:
        UserError: it is damaged, or belongs to another network.
    """
    loaded = _parsed(path, content)
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


def read_state(checkpoint: Path) -> TrainingState:
    """The counters and random states of a checkpoint whose tensors nobody needs.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = checkpoint / STATE_FILE
    return _state(path, _record(path))


def _parsed(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, OverflowError) as error:
        raise UserError(f"{path} is damaged: {error}") from error


def _state(path: Path, record: Mapping[str, Any]) -> TrainingState:
    try:
        score = record["score"]
        state = TrainingState(
            step=_count(record["step"]),
            updates=_count(record["updates"]),
            seconds=float(record["seconds"]),
            games=_count(record["games"]),
            resumes=_count(record["resumes"]),
            score=None if score is None else float(score),
            episodes_bytes=_count(record["episodes_bytes"]),
            rng=dict(record["rng"]),
        )
        if not all(math.isfinite(number) for number in (state.seconds, state.score or 0.0)):
            raise ValueError("a number is infinite")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"{path} is damaged: {error!r}") from error
    if str(state.step) != path.parent.name:
        raise UserError(f"{path} is of step {state.step}, not of {path.parent.name}")
    return state


def _record(path: Path) -> dict[str, Any]:
    """The content of state.json; an unknown name is damage, or from a later version."""
    record = unsealed(read_json(path), path)
    known = {field.name for field in fields(TrainingState)} | {OPTIMIZER_STEPS, DIGESTS}
    unknown = set(record) - known
    if unknown:
        raise UserError(f"{path} is damaged: it has the unknown {sorted(unknown)[0][:80]!r}")
    return record


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


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value
