"""Text tables, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def aligned(
    rows: Sequence[Sequence[str]], left: Collection[int], at_least: Sequence[int] = ()
) -> str:
    """Cells in columns of equal width, for a terminal.

    Args:
        rows: the cells, the headings first.
        left: the columns that are aligned left; the others are aligned right.
        at_least: minimum width of each column, for tables that are printed below each other.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if at_least:
        widths = list(map(max, widths, at_least))
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
