"""Measure the paper's "150 times faster": train both networks in turn on one machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.errors import UserError
from files.durable import as_json, write_durably
from studies.results import FinishedExperiment

# With a smaller share of test positions correct, a network has not learned the task, and the time
# of its best is chance.
LEAST_ACCURACY = 0.01


def require_arrival(coordconv: FinishedExperiment) -> float:
    """Return the seconds of training until CoordConv had every test position correct.

    Raises:
        UserError: it never did.
    """
    perfect = coordconv["seconds_to_perfect"]
    if perfect is None:
        raise UserError(
            "CoordConv did not reach 100 % in this run, so there is no time to compare: "
            "choose another --seed"
        )
    return float(perfect)


def race(coordconv: FinishedExperiment, conv: FinishedExperiment) -> dict[str, Any]:
    """Compare the times and sizes of two finished classification experiments.

    Args:
        coordconv: the experiment with CoordConv.
        conv: the experiment with the convolution.

    Returns:
        Seconds of training until CoordConv had every test position correct and until the
        convolution reached its best accuracy, the ratio of the two (None if the convolution never
        had a hundredth of the positions correct), and parameter counts.

    Raises:
        UserError: CoordConv never had every test position correct, or the two ran on different
            processors.
    """
    perfect = require_arrival(coordconv)
    if coordconv["processor"] != conv["processor"]:
        raise UserError(
            f"{coordconv.path} ran on {coordconv['processor']} and {conv.path} on "
            f"{conv['processor']}, so their times cannot be compared: choose another --results"
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
        "times_faster": (
            conv["seconds_to_best_test"] / perfect if conv["best_test"] >= LEAST_ACCURACY else None
        ),
        "times_fewer_parameters": conv["parameters"] / coordconv["parameters"],
        "processor": coordconv["processor"],
        "commits": [coordconv.result.get("commit"), conv.result.get("commit")],
    }


def write_race(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write the summary as `race-<split>.json` into a folder."""
    write_durably(folder / f"race-{summary['split']}.json", as_json(dict(summary)))


def in_words(summary: Mapping[str, Any]) -> str:
    """Describe the summary in sentences."""
    lines = [
        f"{summary['split']} split: CoordConv had every test position correct after "
        f"{summary['coordconv_seconds_to_100_percent']:.1f} s of training, with "
        f"{summary['coordconv_parameters']:,} parameters."
    ]
    size = (
        f"with {summary['conv_parameters']:,} parameters, "
        f"{summary['times_fewer_parameters']:.0f} times as many."
    )
    if summary["times_faster"] is None:
        lines.append(
            f"The convolution had at most {summary['conv_best_test_accuracy']:.1%} correct in "
            f"{summary['conv_seconds']:.0f} s ({summary['conv_epochs']:.0f} epochs), {size}"
        )
    else:
        lines.append(
            f"The convolution reached {summary['conv_best_test_accuracy']:.1%} after "
            f"{summary['conv_seconds_to_best']:.0f} s of {summary['conv_seconds']:.0f} "
            f"({summary['conv_epochs']:.0f} epochs), {summary['times_faster']:.0f} times the "
            f"time, {size}"
        )
    return "\n".join(lines)
