"""Which checkpoints of a run are kept, and which one is used."""

from __future__ import annotations

import itertools
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from cli.errors import CannotReadError, UserError
from files.durable import cannot_write, write_durably
from records.checkpoint import (
    Checkpoint,
    TrainingState,
    read_state,
    remove_checkpoint,
    write_checkpoint,
)
from records.config import Keep
from records.folder import RunFolder


def save_checkpoint(
    folder: RunFolder,
    policy: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: TrainingState,
    keep: Keep,
) -> Path:
    """Write a checkpoint, then remove all but the newest ones and the best.

    Args:
        folder: the run's folder.
        policy: the network.
        optimizer: the network's optimizer.
        state: the state of the run.
        keep: number of newest checkpoints to keep, or all.

    Returns:
        The checkpoint's folder.

    Raises:
        CannotWriteError: it cannot be written; the older checkpoints are unchanged.
    """
    final = folder.checkpoints / str(state.step)
    try:
        write_checkpoint(final, policy, optimizer, state)
        if keep != "all":
            _prune(folder, keep)
    finally:
        clear_leftovers(folder)
    return final


def clear_leftovers(folder: RunFolder) -> None:
    """Remove half-written and half-removed checkpoints; this process must hold the folder."""
    for leftover in folder.checkpoints.glob(".*"):
        if re.fullmatch(r"\.[0-9]+\.(tmp|old)", leftover.name) and not leftover.is_symlink():
            remove_checkpoint(leftover)


def list_checkpoints(folder: RunFolder) -> list[Path]:
    """The checkpoints, oldest first; all were written completely, but may be damaged since."""
    try:
        found = [p for p in folder.checkpoints.iterdir() if re.fullmatch(r"[0-9]{1,15}", p.name)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {folder.checkpoints}: {error.strerror}") from error
    return sorted(found, key=lambda path: int(path.name))


def named_checkpoints(folder: RunFolder, which: str = "newest") -> list[Path]:
    """The checkpoints that "newest", "best" or a step stands for, the preferred one first.

    Raises:
        UserError: there is no such checkpoint.
    """
    found = list_checkpoints(folder)
    if not found:
        if folder.is_done:
            raise UserError(
                f"{folder.path} is finished but has no checkpoints, probably because it was copied "
                "without them: name the original run"
            )
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


def open_checkpoint(
    folder: RunFolder, which: str = "newest", *, to_continue: bool = False
) -> Checkpoint:
    """Open and verify the checkpoint that "newest", "best" or a step stands for.

    If it is damaged, the next one is used instead and a warning is printed on stderr. If training
    has removed it meanwhile, another one is chosen.

    Args:
        folder: the run's folder.
        which: which checkpoint.
        to_continue: whether training continues from it, and newer ones will be set aside. A
            checkpoint that cannot be read at the moment, but may be intact, is then an error.

    Raises:
        UserError: there is no such checkpoint, or all are damaged.
    """
    while True:
        candidates = named_checkpoints(folder, which)
        try:
            checkpoint = _open_first_whole(candidates, to_continue)
        except UserError:
            if all(map(os.path.lexists, candidates)):
                raise
            continue
        # One that was removed before its score was read may have been replaced by a better one.
        if which != "best" or all(map(os.path.lexists, candidates)):
            return checkpoint


def _open_first_whole(candidates: Sequence[Path], to_continue: bool) -> Checkpoint:
    """The first checkpoint that is not damaged; raises UserError also if one was removed."""
    damages: list[str] = []
    for path in candidates:
        try:
            checkpoint = Checkpoint(path, to_continue=to_continue)
        except UserError as damage:
            if not os.path.lexists(path) or (to_continue and isinstance(damage, CannotReadError)):
                raise
            damages.append(str(damage))
            continue
        for text in damages:
            print(f"{text}: using checkpoint {path.name} instead", file=sys.stderr)
        return checkpoint
    raise UserError(
        f"{damages[0]}, and no other checkpoint can be used: restore the file, or train a new run"
    )


def set_damaged_aside(folder: RunFolder, used: Checkpoint) -> None:
    """Rename checkpoints that are newer than the one used, so that training can reach their steps.

    The rows of these steps are about to be dropped; copies of the files keep them.
    """
    newer = [path for path in list_checkpoints(folder) if int(path.name) > used.state.step]
    for table in (folder.episodes_file, folder.evaluation_file):
        if newer and table.is_file():
            copy = table.with_name(f"{table.name}.until-{newer[-1].name}")
            write_durably(copy, table.read_bytes())
    for path in newer:
        free = (f"{path.name}.damaged{n or ''}" for n in itertools.count())
        target = next(path.with_name(n) for n in free if not path.with_name(n).exists())
        path.rename(target)
        print(f"{path} is kept as {target.name}", file=sys.stderr)


def _prune(folder: RunFolder, newest: int) -> None:
    found = list_checkpoints(folder)
    kept = {*found[-newest:], max(found, key=_merit)}
    for path in found:
        if path not in kept:
            # Renamed first, so that a folder whose name is a number is always complete.
            try:
                path.rename(path.with_name(f".{path.name}.old"))
            except OSError as error:
                raise cannot_write(path, error) from error


def _merit(checkpoint: Path) -> tuple[float, int]:
    """Sort key of the best checkpoint: its mean training score, then its step."""
    try:
        score = read_state(checkpoint).score
    except UserError:
        score = None  # damaged: never the best, but training continues
    return (-math.inf if score is None else score, int(checkpoint.name))
