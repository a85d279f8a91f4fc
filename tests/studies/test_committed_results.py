"""The committed tables of the studies follow from their committed experiments."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from studies.coordinates.race import race
from studies.coordinates.results import read_experiment
from studies.results import write_table
from tests.studies.experiments import ROOT
from tests.tables import nearly, rows_of

RESULTS = ROOT / "docs" / "results"
COORDINATES = ("coordinates", "coordinates-1000-epochs")
DETECTION = ("detection", "detection-mnist")


@pytest.mark.parametrize("folder", [*COORDINATES, *DETECTION, "gan"])
def test_the_experiments_give_the_table(folder: str, tmp_path: Path) -> None:
    results = import_module(f"studies.{folder.partition('-')[0]}.results")
    write_table(results.table(results.find_experiments(RESULTS / folder)), tmp_path / "made.csv")
    committed = rows_of(RESULTS / folder / "results.csv")
    assert rows_of(tmp_path / "made.csv") == nearly(committed, absolute=1.1e-5)


@pytest.mark.parametrize("folder", [*DETECTION, "gan"])
def test_the_page_shows_the_table(folder: str) -> None:
    study = folder.partition("-")[0]
    page = (ROOT / "docs" / f"{study}.md").read_text()
    results = import_module(f"studies.{study}.results")
    made = results.as_markdown(results.table(results.find_experiments(RESULTS / folder)))
    for table in made.split("\n\n"):
        assert table in page


@pytest.mark.parametrize("folder", COORDINATES)
@pytest.mark.parametrize("split", ["uniform", "quadrant"])
def test_the_experiments_give_the_race(folder: str, split: str) -> None:
    coordconv, conv = (
        read_experiment(RESULTS / folder / "classification" / model / split / "seed-1")
        for model in ("coordconv", "conv")
    )
    committed = (RESULTS / folder / f"race-{split}.json").read_text()
    assert race(coordconv, conv) == json.loads(committed)
