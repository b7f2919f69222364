"""Tables whose numbers stay whole on every width of console."""

from __future__ import annotations

import os

from rich.console import Console, RenderableType
from rich.table import Column, Table
from rich.text import Text

LEAST_FOLDED = 12
"""Cells that a column needs whose content may be folded, such as a path."""


def show_table(console: Console, table: Table) -> None:
    """Print a table; where the console is too narrow for its columns, one row below the other.

    A file or a pipe without COLUMNS has no width that anybody sees, so its tables are as wide as
    they need.
    """
    needed = _needed_width(console, table)
    if needed <= console.width:
        console.print(table)
    elif console.is_terminal or "COLUMNS" in os.environ:
        _show_records(console, table)
    else:
        table.width = needed
        console.print(table, crop=False, no_wrap=True, overflow="ignore")


def _needed_width(console: Console, table: Table) -> int:
    widths = [_column_width(console, column) for column in table.columns]
    _, right, _, left = table.padding
    padding = len(widths) * (left + right) - (0 if table.pad_edge else left + right)
    borders = 0
    if table.box is not None:
        borders = len(widths) - 1 + 2 * table.show_edge
    return sum(widths) + padding + borders


def _column_width(console: Console, column: Column) -> int:
    cells = (column.header, *column.cells)
    width = max(console.measure(cell).maximum for cell in cells)
    return width if column.no_wrap else min(width, LEAST_FOLDED)


def _show_records(console: Console, table: Table) -> None:
    """Print each row as its first cell, and below it a line for every other that says something."""
    if table.title:
        console.print(table.title)
    first, *rest = table.columns
    cells: list[list[RenderableType]] = [list(column.cells) for column in rest]
    for place, head in enumerate(first.cells):
        console.print(head, style="bold", overflow="fold")
        record = Table.grid(padding=(0, 2, 0, 0))
        record.add_column(min_width=2)
        record.add_column(style="dim", no_wrap=True)
        record.add_column(overflow="fold")
        for column, values in zip(rest, cells, strict=True):
            if _says_something(values[place]):
                record.add_row("", column.header, values[place])
        console.print(record)


def _says_something(cell: RenderableType) -> bool:
    return bool(cell.plain if isinstance(cell, Text) else cell)
