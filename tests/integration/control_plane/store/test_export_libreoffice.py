"""Exports opened in LibreOffice: every cell is the text we meant, and nothing runs."""

from __future__ import annotations

import asyncio
import csv
import io
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from control_plane.store.client import LeadStore
from control_plane.store.formats import COLUMNS, CUT, EXCEL_CELL
from control_plane.store.models import ExportRequest
from fleet.keys import Keys
from leads.model import Enrichment, Phone
from tests.integration.control_plane.store.sample import found, lead
from tests.spreadsheet import Cell, cells, convert

LONG = {str(number): f"https://social.example/{number}/{'x' * 1_990}" for number in range(20)}  # 40,000 characters

# what stands on a page → what stands in the cell
NAMES = {
    "=1+1": "'=1+1",
    '=HYPERLINK("http://evil.example";"click")': '\'=HYPERLINK("http://evil.example";"click")',
    "=cmd|' /C calc'!A0": "'=cmd|' /C calc'!A0",
    "+1+1": "'+1+1",
    "-2+3": "'-2+3",
    "@SUM(1+1)": "'@SUM(1+1)",
    "＝1+1": "'＝1+1",
    "'=1+1": "'=1+1",
    "Zwei\nZeilen": "Zwei\nZeilen",
    'Say "hi", now; or not': 'Say "hi", now; or not',
    '"': '"',
    "Tab\tund  zwei Blanks": "Tab\tund  zwei Blanks",
    "Café 😀 👩‍👩‍👧 🇩🇪": "Café 😀 👩‍👩‍👧 🇩🇪",
    "مطعم النخيل (Berlin)": "مطعم النخيل (Berlin)",
    "מסעדה \u200f2 של דוד": "מסעדה \u200f2 של דוד",
    "寿司 東京": "寿司 東京",
    "<b>&amp; Söhne</b>": "<b>&amp; Söhne</b>",
    "_x0041_ GmbH": "_x0041_ GmbH",
    "a\\nb\\": "a\\nb\\",
}
PHONES = {
    "+49 30 123456": "+49 30 123456",
    "+1 555-010-0199": "+1 555-010-0199",
    "+4930123456": "'+4930123456",
    "+49-30-123456": "'+49-30-123456",
    "030123456": "'030123456",
    "555-0101": "'555-0101",
}
TOLD = Enrichment(category="legal", summary="=Advises, quickly.", fit=7, source="ai", confidence=0.7)
NUMBERS = {"fit", "latitude", "longitude", "rating", "review_count", "score"}


@pytest.fixture
async def leads(valkey: Redis, keys: Keys) -> int:
    named = [lead(number, display_name=name) for number, name in enumerate(NAMES)]
    called = [lead(100 + number, phones=[Phone(raw=phone, international=phone)]) for number, phone in enumerate(PHONES)]
    await found(valkey, keys, *named, *called, lead(200, socials=LONG, enrichment=TOLD))
    return len(named) + len(called) + 1


async def written(store: LeadStore, path: Path, request: ExportRequest) -> Path:
    export = await store.export("acme", request)
    assert export.url is not None, export.error
    async with aiohttp.ClientSession() as session, session.get(export.url) as response:
        await asyncio.to_thread(path.write_bytes, await response.read())
    return path


def column(rows: list[list[Cell]], name: str) -> list[Cell]:
    at = [cell.text for cell in rows[0]].index(name)
    # a row ends with its last cell that has content
    return [row[at] if at < len(row) else Cell("", "", None) for row in rows[1:]]


def assert_what_we_meant(rows: list[list[Cell]], leads: int, numbers: set[str]) -> None:
    assert [cell.text for cell in rows[0]] == list(COLUMNS)
    assert len(rows) == 1 + leads
    assert [cell for row in rows for cell in row if cell.formula] == []
    for name in COLUMNS:
        kinds = {cell.kind for cell in column(rows, name)} - {""}
        assert kinds <= {"float"} if name in numbers else kinds <= {"string"}, name
    assert [cell.text for cell in column(rows, "name")][: len(NAMES)] == list(NAMES.values())
    assert [cell.text for cell in column(rows, "phones")][len(NAMES) : -1] == list(PHONES.values())


async def test_a_csv_opens_as_what_was_meant(store: LeadStore, leads: int, tmp_path: Path) -> None:
    file = await written(store, tmp_path / "leads.csv", ExportRequest(bom=True))
    rows = cells(convert(file, "fods"))
    # a spreadsheet takes any digits for a number: that of a postal code's zeros are kept is what Excel files are for
    assert_what_we_meant(rows, leads, NUMBERS | {"postal_code"})
    assert column(rows, "socials")[-1].text == "; ".join(LONG.values())
    ours = list(csv.reader(io.StringIO(file.read_text("utf-8-sig"), newline="")))
    for theirs, line in zip(rows, ours, strict=True):
        for cell, text, name in zip(theirs, line, COLUMNS, strict=True):
            assert cell.kind == "float" or cell.text == text, name


async def test_a_workbook_opens_as_what_was_meant(store: LeadStore, leads: int, tmp_path: Path) -> None:
    file = await written(store, tmp_path / "leads.xlsx", ExportRequest(format="excel"))
    rows = cells(convert(file, "fods"))
    assert_what_we_meant(rows, leads, NUMBERS)
    assert column(rows, "postal_code")[0].text == "00000"
    (long,) = [cell.text for cell in column(rows, "socials") if cell.text]
    assert long == "; ".join(LONG.values())[: EXCEL_CELL - len(CUT)] + CUT
