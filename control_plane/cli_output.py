"""What the command line shows: tables for people, lines for programs."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Collection, Sequence

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text


def listing(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, whole: Collection[str] = (), cut: str = ""
) -> None:
    """A table on a terminal; anywhere else a line a row, its cells separated by tabs, all of them complete.

    On a terminal the columns ``whole`` are neither shortened nor broken, since one copies from them; ``cut`` is
    shortened to what is left of the line.
    """
    rows = [[plain(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        Console().print(table(columns, rows, whole=whole, cut=cut))
    else:
        for row in rows:
            click.echo("\t".join(row))


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, whole: Collection[str] = (), cut: str = ""
) -> Table:
    """The table of `listing`."""
    shown = Table(box=None, padding=(0, 2, 0, 0))  # a frame would take the room of the ids
    for index, name in enumerate(columns):
        if name in whole:
            widest = max((cell_len(row[index]) for row in rows), default=0)
            shown.add_column(name, no_wrap=True, min_width=widest)
        else:
            shown.add_column(name, overflow="fold")
    for row in rows:
        # pages chose much of this: as Text it cannot be taken for markup
        cells = [Text(cell) for cell in row]
        if cut:
            shortened = cells[columns.index(cut)]
            shortened.no_wrap, shortened.overflow = True, "ellipsis"
        shown.add_row(*cells)
    return shown


def plain(text: str) -> str:
    """``text`` on one line and without the control characters that a terminal would obey."""
    return "".join(" " if unicodedata.category(letter) in {"Cc", "Zl", "Zp"} else letter for letter in text)


def counted(number: int, what: str) -> str:
    """``1 lead``, ``2 leads``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
