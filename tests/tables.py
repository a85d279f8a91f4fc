"""Comparing tables of numbers that processors may round differently."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest


def rows_of(table: Path) -> list[list[float | str]]:
    """The rows of a CSV file, with its numbers as numbers."""
    with table.open(newline="") as file:
        return [[_number_or_text(cell) for cell in row] for row in csv.reader(file)]


def nearly(rows: list[list[float | str]], absolute: float = 1e-12) -> list[list[Any]]:
    """Rows that equal others whose numbers have the same nine digits or differ by `absolute`."""
    return [
        [
            pytest.approx(cell, rel=1e-9, abs=absolute, nan_ok=True)
            if isinstance(cell, float)
            else cell
            for cell in row
        ]
        for row in rows
    ]


def _number_or_text(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell
