"""What is written in a figure is what a reader reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from benchmarks.made_up_runs import make_grid_of_runs, make_run
from evaluation.report.figures import STYLE, picture
from tests.evaluation.comparing import GAMES, report


def written(svg: bytes) -> list[str]:
    """The texts of a drawing."""
    return re.findall(r"<text [^>]*>([^<]*)</text>", svg.decode())


@pytest.mark.parametrize(
    ("scale", "settings", "ends", "expected"),
    [
        ("log", {}, (1e-3, 1e4), {"0.001", "0.01", "0.1", "1", "10", "100", "1,000", "10,000"}),
        ("log", {}, (2, 9), {"2", "3", "4", "6"}),  # less than a decade: labels between the powers
        ("log", {"base": 2}, (1, 8), {"1", "2", "4", "8"}),
        ("symlog", {}, (-100, 100), {"-100", "-10", "0", "10", "100"}),
    ],
)
def test_logarithmic_axes_have_plain_numbers(
    scale: str, settings: dict[str, Any], ends: tuple[float, float], expected: set[str]
) -> None:
    with mpl.rc_context(STYLE):
        figure = Figure()
        axis = figure.subplots()
        axis.plot([0, 1], ends)
        axis.set_yscale(scale, **settings)
    texts = written(picture(figure, "a", "b", "c").svg)
    assert expected <= set(texts)
    assert not [text for text in texts if "$" in text or "\\" in text]
    if "base" in settings:
        assert "3" not in texts


@pytest.mark.slow
def test_bars_with_an_outlier_have_plain_numbers(tmp_path: Path) -> None:
    root = tmp_path / "runs"
    make_grid_of_runs(root, GAMES, {"nature": 0.5, "coordconv": 0.5}, spread=0.01)
    for seed in (1, 2, 3):  # an outlier puts the bars on a logarithmic axis
        make_run(root, "Boxing", "nature", seed)
        make_run(root, "Boxing", "coordconv", seed, level=50)
    report(root)
    figures = tmp_path / "report/figures"
    texts = written((figures / "a2c-improvement-coordconv.svg").read_bytes())
    assert {"Boxing", "0", "10"} <= set(texts)
    assert not [text for text in texts if "$" in text or "\\" in text]
    assert "500k" in written((figures / "a2c-curves-steps.svg").read_bytes())
