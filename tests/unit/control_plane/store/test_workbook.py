"""Cells of a workbook, as ECMA-376 says they are read. LibreOffice reads whole ones in the integration tests."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from control_plane.store.workbook import CUT, MOST_CHARACTERS, Workbook, _rows

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


def read(cell: etree._Element) -> str | float | None:
    """What a reader makes of a cell: ``_xHHHH_`` is the character with that number."""
    if cell.get("t") == "inlineStr":
        text = "".join(cell.itertext())
        return re.sub(r"_x([0-9A-Fa-f]{4})_", lambda found: chr(int(found[1], 16)), text)
    return float("".join(cell.itertext())) if len(cell) else None


def cells_of(frame: pl.DataFrame) -> list[list[str | float | None]]:
    return [[read(cell) for cell in etree.fromstring(row)] for row in _rows(frame)]


@settings(deadline=None)  # the first example compiles expressions, and the cores are shared
@given(st.lists(st.text(max_size=40) | st.none(), min_size=1, max_size=5))
def test_any_text_is_read_as_it_was_written(texts: list[str | None]) -> None:
    wanted = [text if text is None else text.encode("utf-8", "replace").decode() for text in texts]
    assert [row[0] for row in cells_of(pl.DataFrame({"text": wanted}, {"text": pl.String}))] == wanted


def test_what_looks_like_an_escape_is_not_one() -> None:
    assert cells_of(pl.DataFrame({"text": ["_x0041_", "__x000d_", "_x5_"]})) == [["_x0041_"], ["__x000d_"], ["_x5_"]]


def test_numbers_are_numbers_and_what_is_none_is_empty() -> None:
    frame = pl.DataFrame({"rating": [4.5, None, float("nan")], "count": [10**12, None, -1], "name": ["a", None, ""]})
    assert cells_of(frame) == [[4.5, 1e12, "a"], [None, None, None], [None, -1.0, ""]]


def test_a_cell_that_is_too_long_ends_with_a_mark() -> None:
    ((cell,),) = cells_of(pl.DataFrame({"text": ["é" * 40_000]}))
    assert isinstance(cell, str)
    assert (len(cell), cell.endswith("é" + CUT)) == (MOST_CHARACTERS, True)


def test_a_workbook_of_nothing_has_a_header(tmp_path: Path) -> None:
    path = tmp_path / "leads.xlsx"
    with Workbook(path, "A & B", ["a<b"]):
        pass
    with zipfile.ZipFile(path) as parts:
        assert parts.testzip() is None
        (sheet,) = etree.fromstring(parts.read("xl/workbook.xml")).iter(f"{MAIN}sheet")
        assert sheet.get("name") == "A & B"
        rows = etree.fromstring(parts.read("xl/worksheets/sheet1.xml")).iter(f"{MAIN}row")
        assert [read(row[0]) for row in rows] == ["a<b"]
