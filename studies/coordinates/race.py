"""The paper's "150 times faster", measured: both networks one after the other on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.errors import UserError
from files.durable import as_json, write_durably
from studies.results import FinishedExperiment


def require_arrival(coordconv: FinishedExperiment) -> float:
    """Seconds of training until CoordConv had every test position right.

    Raises:
        UserError: it never had.
    """
    perfect = coordconv["seconds_to_perfect"]
    if perfect is None:
        raise UserError("CoordConv did not reach 100 % in this run: there is no time to compare")
    return float(perfect)


def race(coordconv: FinishedExperiment, conv: FinishedExperiment) -> dict[str, Any]:
    """Times and sizes of two finished classifications, and their ratios.

    Args:
        coordconv: of CoordConv.
        conv: of the convolution.

    Returns:
        Seconds of training until CoordConv had every test position right, until the convolution
        was as good as it became within its budget, the ratio of the two (None where it never had
        one position right), and parameters.

    Raises:
        UserError: CoordConv never had every test position right, or they ran on different machines.
    """
    perfect = require_arrival(coordconv)
    if coordconv["processor"] != conv["processor"]:
        raise UserError(
            f"{coordconv.path} ran on {coordconv['processor']} and {conv.path} on "
            f"{conv['processor']}: their times cannot be compared; choose another --results"
        )
    return {
        "split": coordconv["split"],
        "seed": coordconv["seed"],
        "coordconv_seconds_to_100_percent": perfect,
        "coordconv_parameters": coordconv["parameters"],
        "conv_best_test_accuracy": conv["best_test"],
        "conv_seconds_to_best": conv["seconds_to_best_test"],
        "conv_seconds": conv["seconds"],
        "conv_epochs": conv["epochs"],
        "conv_parameters": conv["parameters"],
        # A network that never had one position right was not slower: it did not arrive.
        "times_faster": conv["seconds_to_best_test"] / perfect if conv["best_test"] else None,
        "times_fewer_parameters": conv["parameters"] / coordconv["parameters"],
        "processor": coordconv["processor"],
        "commits": [coordconv.result.get("commit"), conv.result.get("commit")],
    }


def write_race(folder: Path, summary: Mapping[str, Any]) -> None:
    """As `race-<split>.json` beside the experiments."""
    write_durably(folder / f"race-{summary['split']}.json", as_json(dict(summary)))


def in_words(summary: Mapping[str, Any]) -> str:
    """The summary for a reader."""
    lines = [
        f"{summary['split']} split: CoordConv had every test position right after "
        f"{summary['coordconv_seconds_to_100_percent']:.1f} s of training, with "
        f"{summary['coordconv_parameters']:,} parameters."
    ]
    size = (
        f"with {summary['conv_parameters']:,} parameters, "
        f"{summary['times_fewer_parameters']:.0f} times as many."
    )
    if summary["times_faster"] is None:
        lines.append(
            f"The convolution had none right in {summary['conv_seconds']:.0f} s "
            f"({summary['conv_epochs']:.0f} epochs), {size}"
        )
    else:
        lines.append(
            f"The convolution reached {summary['conv_best_test_accuracy']:.1%} after "
            f"{summary['conv_seconds_to_best']:.0f} s of {summary['conv_seconds']:.0f} "
            f"({summary['conv_epochs']:.0f} epochs), {summary['times_faster']:.0f} times the "
            f"time, {size}"
        )
    return "\n".join(lines)
