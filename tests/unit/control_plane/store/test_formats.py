"""Cells that spreadsheets take for what they are."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.store.formats import COLUMNS, CUT, EXCEL_CELL, Rows, _excel_cell, chunks, columns_read
from control_plane.store.models import ExportRequest
from control_plane.store.schema import VIEW_SCHEMA, Position, Sighting, frame_of, view_row
from leads.model import Enrichment, Lead, Phone
from tests.integration.control_plane.store.sample import lead

HEADER = (
    "lead_id,name,phones,phone_types,phone_validity,emails,website,street,city,region,postal_code,country,latitude,"
    "longitude,categories,rating,review_count,opening_hours,socials,description,score,score_band,platforms,source_urls,"
    "first_seen_at,last_seen_at,enriched_category,summary,fit"
)


def rows(request: ExportRequest, *leads: Lead) -> Rows:
    columns = columns_read(request)
    sightings = [Sighting(Position(1, n), "acme", "tsk_1", "", each) for n, each in enumerate(leads)]
    frame = frame_of([view_row(sighting.lead, [sighting]) for sighting in sightings], VIEW_SCHEMA).select(columns)
    return Rows(frame.height, (part for part in frame.iter_slices(2)))


def csv_of(request: ExportRequest, *leads: Lead) -> str:
    return b"".join(chunks(request, rows(request, *leads), Path())).decode()


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


def test_excel_cells_end_with_a_mark() -> None:
    cell = _excel_cell("x" * 40_000)
    assert isinstance(cell, str)
    assert len(cell) == EXCEL_CELL
    assert cell.endswith(CUT)
