"""LibreOffice as somebody who opens a file in it: converts without a window, and reads what stands in the cells."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree

from infra.bootstrap import libreoffice

TIMEOUT_S = 180  # a first start writes a profile, on cores that other tests use

_NAMES = {
    "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
    "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
    "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
}
_COMMA, _QUOTE, _UTF_8 = 44, 34, 76
CSV_FILTER = f"CSV:{_COMMA},{_QUOTE},{_UTF_8}"
"""What the dialog offers that opens for a CSV; without a window it does not open."""


@dataclass(frozen=True)
class Cell:
    """``kind`` is LibreOffice's: string, float …, or empty for a cell without content."""

    kind: str
    text: str
    formula: str | None


def soffice() -> str:
    """The command that starts LibreOffice; skips where there is none, since not every machine lets us install it."""
    command = libreoffice.find()
    if command is None:
        pytest.skip(f"LibreOffice is not on this machine. {libreoffice.how_to_get()}")
    return command


def convert(file: Path, ending: str) -> Path:
    """``file`` as another kind of document, in a folder beside it."""
    profile = file.parent / "libreoffice"
    target = file.parent / "converted"
    command = [
        soffice(),
        f"-env:UserInstallation={profile.as_uri()}",
        "--headless",
        "--norestore",
        "--nolockcheck",
        *([f"--infilter={CSV_FILTER}"] if file.suffix == ".csv" else []),
        *("--convert-to", ending, "--outdir", str(target), str(file)),
    ]
    # a group of its own: the command is a script that starts a launcher that starts the program
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            said, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    made = target / file.with_suffix(f".{ending}").name
    assert process.returncode == 0, said
    assert made.exists(), said
    return made


def cells(flat: Path, sheet: int = 0) -> list[list[Cell]]:
    """The rows of a sheet in a flat OpenDocument file (.fods), up to the last that has content."""
    parser = etree.XMLParser(huge_tree=True, resolve_entities=False)
    tables = etree.parse(str(flat), parser).findall(".//table:table", _NAMES)
    rows = []
    for row in tables[sheet].iterfind(".//table:table-row", _NAMES):
        line: list[Cell] = []
        for cell in row.iterfind("table:table-cell", _NAMES):
            repeated = int(cell.get(_name("table", "number-columns-repeated"), 1))
            line += [_cell(cell)] * (repeated if repeated < 100 else 1)  # the rest of a row is one cell
        rows.append(line)
    while rows and not any(cell.text for cell in rows[-1]):
        rows.pop()
    width = max(column + 1 for row in rows for column, cell in enumerate(row) if cell.text)
    return [row[:width] for row in rows]


def _cell(cell: etree._Element) -> Cell:
    lines = ["".join(_text(paragraph)) for paragraph in cell.iterfind("text:p", _NAMES)]
    return Cell(cell.get(_name("office", "value-type"), ""), "\n".join(lines), cell.get(_name("table", "formula")))


def _text(element: etree._Element) -> list[str]:
    """OpenDocument writes blanks that follow each other, and tabs, as elements."""
    parts = [element.text or ""]
    for child in element:
        if child.tag == _name("text", "s"):
            parts.append(" " * int(child.get(_name("text", "c"), 1)))
        elif child.tag == _name("text", "tab"):
            parts.append("\t")
        elif child.tag == _name("text", "line-break"):
            parts.append("\n")
        else:
            parts += _text(child)
        parts.append(child.tail or "")
    return parts


def _name(prefix: str, local: str) -> str:
    return f"{{{_NAMES[prefix]}}}{local}"
