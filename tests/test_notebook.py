"""The notebook runs from its first cell to its last, and shows what its text says."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "coordconv-in-ten-minutes.ipynb"


@pytest.mark.slow
def test_the_notebook_runs_and_coordconv_is_right_everywhere() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": NOTEBOOK.parent}}
    ).execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    coordinates, convolution = (line for line in printed.splitlines() if "never shown" in line)
    assert "never shown: 100.0%" in coordinates
    assert "never shown:   0" in convolution
    assert "unchanged: True" in printed
