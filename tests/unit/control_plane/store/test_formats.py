"""Cells that spreadsheets take for what they are."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from pydantic import ValidationError

from control_plane.store.formats import (
    COLUMNS,
    CUT,
    EXCEL_CELL,
    FileKind,
    Rows,
    _excel_cell,
    chunks,
    columns_read,
    kind_of,
)
from control_plane.store.models import ExportFormat, ExportRequest
from control_plane.store.schema import VIEW_SCHEMA, Position, Sighting, frame_of, view_row
from leads.model import Enrichment, Lead, Phone
from tests.integration.control_plane.store.sample import lead

HEADER = (
    "lead_id,name,phones,phone_types,phone_validity,emails,website,street,city,region,postal_code,country,latitude,"
    "longitude,categories,rating,review_count,opening_hours,socials,description,score,score_band,platforms,source_urls,"
    "first_seen_at,last_seen_at,enriched_category,summary,fit"
)


AS_OF = datetime(2026, 9, 1, 12, 30, tzinfo=UTC)


def rows(request: ExportRequest, *leads: Lead, at_once: int = 2) -> Rows:
    columns = columns_read(request)
    sightings = [Sighting(Position(1, n), "acme", "tsk_1", "", each) for n, each in enumerate(leads)]
    frame = frame_of([view_row(sighting.lead, [sighting]) for sighting in sightings], VIEW_SCHEMA).select(columns)
    return Rows(frame.height, AS_OF, (part for part in frame.iter_slices(at_once)))


def csv_of(request: ExportRequest, *leads: Lead) -> str:
    return b"".join(chunks(request, rows(request, *leads), Path())).decode()


def first_column_of(book: bytes) -> dict[str, list[str]]:
    """The texts of the first column of each sheet, below its header."""
    main = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    with zipfile.ZipFile(io.BytesIO(book)) as parts:
        names = [
            sheet.get("name", "") for sheet in etree.fromstring(parts.read("xl/workbook.xml")).iter(f"{main}sheet")
        ]
        columns = []
        for number in range(1, len(names) + 1):
            sheet = etree.fromstring(parts.read(f"xl/worksheets/sheet{number}.xml"))
            columns.append(["".join(row[0].itertext()) for row in sheet.iter(f"{main}row")])
    assert {column[0] for column in columns} == {"lead_id"}
    return {name: column[1:] for name, column in zip(names, columns, strict=True)}


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_header_is_the_documented_one() -> None:
    assert ",".join(COLUMNS) == HEADER
    assert csv_of(ExportRequest(), lead(1)).split("\r\n")[0] == HEADER


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r", " =", "\n @"])
def test_text_that_begins_like_a_formula_is_made_harmless(start: str) -> None:
    risky = Lead.model_construct(**(dict(lead(1)) | {"display_name": f"{start}SUM(A1)"}))
    (row,) = read(csv_of(ExportRequest(), risky))
    assert row["name"].startswith("'")
    assert row["name"][1:] == f"{start}SUM(A1)"


def test_what_enriches_a_lead_is_exported_as_any_other_text() -> None:
    told = Enrichment(category="legal", summary="=Cheap, quick", fit=7, source="ai", confidence=0.7)
    (row,) = read(csv_of(ExportRequest(), lead(1, enrichment=told)))
    assert (row["enriched_category"], row["summary"], row["fit"]) == ("legal", "'=Cheap, quick", "7")


def test_numbers_stay_numbers_and_phones_stay_readable() -> None:
    southern = lead(1, geo={"latitude": -33.9, "longitude": -70.6})
    (row,) = read(csv_of(ExportRequest(), Lead.model_validate(southern.model_dump())))
    assert (row["latitude"], row["longitude"]) == ("-33.9", "-70.6")
    assert row["phones"] == "+49 30 0000001"
    (machine,) = read(csv_of(ExportRequest(phone_format="e164"), southern))
    assert machine["phones"] == "+49300000001"


def test_a_phone_that_is_a_formula_is_made_harmless() -> None:
    (row,) = read(csv_of(ExportRequest(), lead(1, phones=[Phone(raw="=cmd|' /C calc'!A0")])))
    assert row["phones"].startswith("'=")


def test_columns_are_chosen_and_ordered() -> None:
    text = csv_of(ExportRequest(columns=["city", "name"]), lead(0))
    assert text == "city,name\r\nBerlin,Café Nummer 0\r\n"


def test_a_byte_order_mark_comes_on_request() -> None:
    assert csv_of(ExportRequest(bom=True), lead(1)).startswith("\ufefflead_id")


@settings(deadline=None)  # the first example compiles expressions, and the cores are shared
@given(st.lists(st.text(max_size=40), min_size=1, max_size=5))
def test_any_text_survives_the_way_through_a_csv(texts: list[str]) -> None:
    leads = [
        Lead.model_construct(**(dict(lead(n)) | {"display_name": text.encode("utf-8", "replace").decode() or None}))
        for n, text in enumerate(texts)
    ]
    back = read(csv_of(ExportRequest(columns=["name"]), *leads)) if leads else []
    expected = [each.display_name for each in leads if each.display_name]
    assert [row["name"].removeprefix("'") for row in back if row["name"]] == [
        text.removeprefix("'") for text in expected
    ]


@pytest.mark.parametrize("file_format", ["csv", "json", "jsonl"])
def test_a_compressed_file_is_the_file(file_format: ExportFormat) -> None:
    plain = csv_of(ExportRequest(format=file_format), lead(1), lead(2), lead(3))
    request = ExportRequest(format=file_format, compress="gzip")
    packed = b"".join(chunks(request, rows(request, lead(1), lead(2), lead(3)), Path()))
    assert gzip.decompress(packed).decode() == plain
    assert packed[4:8] == bytes(4), "no time in it: the same leads are the same bytes"
    assert kind_of(request) == FileKind(f"{file_format}.gz", "application/gzip")


@pytest.mark.parametrize("file_format", ["excel", "parquet"])
def test_what_is_compressed_is_not_compressed_again(file_format: ExportFormat) -> None:
    with pytest.raises(ValidationError, match="compressed as they are"):
        ExportRequest(format=file_format, compress="gzip")


@pytest.mark.parametrize("file_format", ["csv", "json", "jsonl", "excel", "parquet"])
def test_the_same_leads_are_the_same_bytes_however_they_come(file_format: ExportFormat, tmp_path: Path) -> None:
    request = ExportRequest(format=file_format)
    leads = [lead(number) for number in range(5)]
    first = b"".join(chunks(request, rows(request, *leads), tmp_path))
    assert b"".join(chunks(request, rows(request, *leads), tmp_path)) == first
    if file_format != "parquet":  # whose row groups are what comes at once
        assert b"".join(chunks(request, rows(request, *leads, at_once=1), tmp_path)) == first
    assert list(tmp_path.iterdir()) == []


def test_a_workbook_is_dated_by_its_leads(tmp_path: Path) -> None:
    request = ExportRequest(format="excel")
    book = b"".join(chunks(request, rows(request, lead(1)), tmp_path))
    with zipfile.ZipFile(io.BytesIO(book)) as parts:
        core = etree.fromstring(parts.read("docProps/core.xml"))
        assert {entry.date_time[0] for entry in parts.infolist()} == {1980}, "zip's way to say none"
    dates = {element.text for element in core if etree.QName(element).localname in {"created", "modified"}}
    assert dates == {"2026-09-01T12:30:00Z"}


@pytest.mark.parametrize(
    ("phone", "cell"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+49-30-1", "'+49-30-1"),
        ("030 12", "'030 12"),
        ("+4930", "+4930"),
    ],
)
def test_a_phone_for_machines_is_bare_only_when_it_is_e164(phone: str, cell: str) -> None:
    (row,) = read(csv_of(ExportRequest(phone_format="e164"), lead(1, phones=[Phone(raw=phone)])))
    assert row["phones"] == cell


def test_leads_beyond_a_sheet_go_to_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("control_plane.store.formats.EXCEL_ROWS", 4)
    request = ExportRequest(format="excel", columns=["lead_id", "rating"])
    book = b"".join(chunks(request, rows(request, *(lead(number) for number in range(7))), tmp_path))
    assert first_column_of(book) == {
        "Leads": ["lead_000000", "lead_000001", "lead_000002"],
        "Leads 2": ["lead_000003", "lead_000004", "lead_000005"],
        "Leads 3": ["lead_000006"],
    }


def test_excel_cells_end_with_a_mark() -> None:
    cell = _excel_cell("x" * 40_000)
    assert isinstance(cell, str)
    assert len(cell) == EXCEL_CELL
    assert cell.endswith(CUT)


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_of_chosen_columns_is_flat(form: ExportFormat) -> None:
    request = ExportRequest(format=form, columns=["city", "name", "phones"])
    text = b"".join(chunks(request, rows(request, *(lead(n) for n in range(3))), Path())).decode()
    told = json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
    assert told[0] == {"city": "Berlin", "name": "Café Nummer 0", "phones": ["+49 30 0000000"]}
    assert len(told) == 3
