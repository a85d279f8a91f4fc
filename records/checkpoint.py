"""Checkpoints: tensors in safetensors and everything else in JSON, never incomplete.

`checkpoints/<step>/` holds policy.safetensors, optimizer.safetensors and state.json. Reading them
cannot run code. A checkpoint is written under a temporary name, flushed to disk and renamed, so a
folder whose name is a number is complete. state.json holds the digests of the other two files and
its own, so that later damage is detected and a damaged checkpoint is never used.
records/kept_checkpoints.py decides which checkpoints are kept and which one is used.
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
# In state.json next to the TrainingState: RMSprop's counts, and SHA-256 of the other two files.
OPTIMIZER_STEPS = "optimizer_steps"
DIGESTS = "files"
# Our safetensors headers have a few kilobytes; a larger one is not from this suite.
MAX_HEADER_BYTES = 1_000_000
# Files up to this size are verified before their network is known, which takes half a second.
MAX_BYTES_LOOKED_AT = 200_000_000


@dataclass(frozen=True)
class TrainingState:
    """The state of a run: everything in a checkpoint except its tensors.

    Attributes:
        step: agent steps done.
        updates: SB3's count of updates.
        seconds: wall time of training so far, summed over all resumed parts.
        games: number of finished games.
        resumes: how often the run was resumed; each part plays games from its own seeds.
        score: mean raw score of the last 100 games, None before there are 20.
        episodes_bytes: length of episodes.csv; rows after it belong to steps that were lost.
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
    """Write a checkpoint, completely or not at all.

    Raises:
        CannotWriteError: it cannot be written; a part may be left under the temporary name.
    """
    temporary = final.with_name(f".{final.name}.tmp")
    optimizer_tensors, steps = _optimizer_state(optimizer)
    digests: dict[str, str] = {}
    try:
        temporary.mkdir(parents=True)
        # One after the other and without copies, because a run's memory peaks here.
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
    """Write a file of tensors and return its digest."""
    content = save(_without_shared_memory(tensors))
    write_durably(path, content)
    return hashlib.sha256(content).hexdigest()


def remove_checkpoint(checkpoint: Path) -> None:
    """Remove our own files and no others: a run from elsewhere may contain links to anything."""
    with suppress(OSError):
        for name in (POLICY_FILE, OPTIMIZER_FILE, STATE_FILE):
            for path in (checkpoint / name, temporary_name(checkpoint / name)):
                path.unlink(missing_ok=True)
        checkpoint.rmdir()


class Checkpoint:
    """A checkpoint whose state is read and whose files are verified when it is opened.

    A published agent may have no optimizer file; it is needed only to continue training.

    Args:
        path: its folder.
        to_continue: whether training continues from it.

    Attributes:
        path: its folder.
        state: the state of the run.
        policy_sha256: digest of policy.safetensors.

    Raises:
        UserError: a file is missing or damaged.
        CannotReadError: a file cannot be read at the moment, but may be intact.
    """

    policy_sha256: str

    def __init__(self, path: Path, *, to_continue: bool = False) -> None:
        self.path = path
        record = _record(path / STATE_FILE)
        self.state = _state(path / STATE_FILE, record)
        self._optimizer_steps = record.get(OPTIMIZER_STEPS)
        digests = record.get(DIGESTS)
        # The oldest runs have no digests.
        self._digests: Mapping[str, Any] = digests if isinstance(digests, dict) else {}
        # Files are read once: what was verified is what is loaded.
        names = [POLICY_FILE]
        if to_continue or os.path.lexists(path / OPTIMIZER_FILE):
            names.append(OPTIMIZER_FILE)
        self._contents = {name: self._read_verified(name) for name in names}

    def load_policy(self, policy: nn.Module) -> None:
        """Load the weights into a newly built network.

        Raises:
            UserError: the file belongs to another network.
        """
        live = _live_tensors(policy)
        expected = {name: _contiguous(tensor) for name, tensor in live.items()}
        loaded = self._read_tensors(POLICY_FILE, expected)
        with torch.no_grad():
            for name, tensor in live.items():
                tensor.copy_(loaded[name])

    def load_optimizer(self, optimizer: torch.optim.Optimizer, kept: OptimizerState) -> None:
        """Load the state of a new optimizer; its settings do not change.

        Args:
            optimizer: the optimizer of the checkpoint's network.
            kept: what such an optimizer stores.

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
            return  # before the first update
        loaded = self._read_tensors(OPTIMIZER_FILE, expected)
        state: dict[int, dict[str, Any]] = {}
        for index, parameter in enumerate(parameters):
            step = loaded[f"{index}.step"] if kept.steps_are_tensors else self._step_of(index)
            state[index] = {"step": step}
            for name in kept.moments:
                # In the parameter's memory order: the fused optimizer reads both in parallel.
                moment = torch.empty_like(parameter, requires_grad=False)
                state[index][name] = moment.copy_(loaded[f"{index}.{name}"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def _step_of(self, index: int) -> int:
        steps = self._optimizer_steps
        step = steps.get(str(index)) if isinstance(steps, dict) else None
        if type(step) is not int or step < 0:
            raise UserError(f"{self.path / STATE_FILE} is damaged: a step count is not a number")
        return step

    def _read_verified(self, name: str) -> bytes | None:
        """The verified content of a file; None if it is too large to check without its network.

        Raises:
            UserError: it is missing or damaged.
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
            _parse(self.path / name, content)
        elif found != expected:
            raise UserError(f"{self.path / name} is damaged: its content is not what was written")

    def _read_tensors(self, name: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a file, which must have exactly the expected names, shapes and dtypes."""
        path = self.path / name
        largest = sum(t.numel() * t.element_size() for t in expected.values()) + MAX_HEADER_BYTES
        content = self._contents.pop(name, None)
        if content is None or len(content) > largest:
            content = read_bytes(path, largest)
            self._require_as_written(name, content)
        return tensors_in(path, content, expected)


def tensors_in(path: Path, content: bytes, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors in a file's content.

    Args:
        path: the file, for messages.
        content: its bytes.
        expected: tensors with the names, shapes and dtypes that the file must have exactly.

    Raises:
        UserError: it is damaged, or belongs to another network.
    """
    loaded = _parse(path, content)
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
        # A custom network may have infinities by design, for example in a mask.
        if torch.isfinite(tensor).all() and not torch.isfinite(loaded[name]).all():
            raise UserError(f"{path} is damaged: {name} is not finite")
    return loaded


def read_state(checkpoint: Path) -> TrainingState:
    """The counters and random states of a checkpoint, without reading its tensors.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = checkpoint / STATE_FILE
    return _state(path, _record(path))


def _parse(path: Path, content: bytes) -> dict[str, Tensor]:
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
        raise UserError(f"{path} belongs to step {state.step}, not to {path.parent.name}")
    return state


def _record(path: Path) -> dict[str, Any]:
    """The content of state.json; an unknown name means damage, or a later version."""
    record = unsealed(read_json(path), path)
    known = {field.name for field in fields(TrainingState)} | {OPTIMIZER_STEPS, DIGESTS}
    unknown = set(record) - known
    if unknown:
        raise UserError(f"{path} is damaged: it has an unknown entry {sorted(unknown)[0][:80]!r}")
    return record


def _contiguous(tensor: Tensor) -> Tensor:
    """The tensor on the CPU and contiguous; no copy if it is already."""
    return tensor.detach().to("cpu").contiguous()


def _without_shared_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU; those that share memory with an earlier one are copied."""
    separate: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        contiguous = _contiguous(tensor)
        address = contiguous.untyped_storage().data_ptr()
        separate[name] = contiguous.clone() if address in taken else contiguous
        taken.add(address)
    return separate


def _live_tensors(policy: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer, by its first name."""
    # These iterators yield each tensor once; SB3 registers a shared trunk under three names.
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
