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
        folder: of the run.
        policy: its network.
        optimizer: of the network.
        state: where the run stands.
        keep: how many of the newest are kept, or all.

    Returns:
        The checkpoint's folder.

    Raises:
        CannotWriteError: the older checkpoints stand.
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
    """Remove checkpoints that were not finished, or not quite removed; the folder must be held."""
    for leftover in folder.checkpoints.glob(".*"):
        if re.fullmatch(r"\.[0-9]+\.(tmp|old)", leftover.name) and not leftover.is_symlink():
            remove_checkpoint(leftover)


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


def open_checkpoint(
    folder: RunFolder, which: str = "newest", *, to_continue: bool = False
) -> Checkpoint:
    """The checkpoint to use, verified: "newest", "best" or a step.

    If it is damaged, the next one is used instead, and stderr says so. If training has pruned it
    meanwhile, one is chosen anew.

    Args:
        folder: of the run.
        which: of its checkpoints.
        to_continue: what is newer will be given up, and so must be damaged: one that only cannot
            be read at the moment is an error.

    Raises:
        UserError: there is none, or all are damaged.
    """
    while True:
        candidates = named_checkpoints(folder, which)
        try:
            checkpoint = _first_whole(candidates, to_continue)
        except UserError:
            if all(map(os.path.lexists, candidates)):
                raise
            continue
        # One that has gone before its score was read may have been replaced by a better one.
        if which != "best" or all(map(os.path.lexists, candidates)):
            return checkpoint


def _first_whole(candidates: Sequence[Path], to_continue: bool) -> Checkpoint:
    """The first checkpoint that is not damaged; UserError also if one of them has gone."""
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
            print(f"{text}: using checkpoint {path.name} in its place", file=sys.stderr)
        return checkpoint
    raise UserError(
        f"{damages[0]}, and there is no other in its place: restore the file, or train anew"
    )


def set_damaged_aside(folder: RunFolder, used: Checkpoint) -> None:
    """Rename checkpoints that are newer than the one used, so that training can come to them.

    The rows of their steps are about to be dropped, and are kept in copies.
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
            # Renamed first: a folder whose name is a number is always complete.
            try:
                path.rename(path.with_name(f".{path.name}.old"))
            except OSError as error:
                raise cannot_write(path, error) from error


def _merit(checkpoint: Path) -> tuple[float, int]:
    """What makes a checkpoint the best: its mean training score; of equals the newer one."""
    try:
        score = read_state(checkpoint).score
    except UserError:
        score = None  # damaged: never the best, and no reason to stop training
    return (-math.inf if score is None else score, int(checkpoint.name))
