"""What a ``where`` means, over a small frame; and that every member of it means something."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from control_plane.errors import BadRequest, Invalid
from control_plane.store import filters
from control_plane.store.models import LeadQuery, Where, problem_of
from control_plane.store.schema import Position, Sighting
from control_plane.store.segments import ColumnCache, Snapshot
from control_plane.store.view import TenantView
from leads.model import Enrichment
from tests.integration.control_plane.store.sample import lead


@pytest.fixture(params=["in memory", "in files, held", "in files"])
def view(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Snapshot]:
    """Leads 0 to 5; 4 and 5 know little about themselves."""
    fits = (Enrichment(category="legal", fit=70 + n, source="rules", confidence=0.5) for n in range(2))
    leads = [lead(0, enrichment=next(fits)), lead(1, enrichment=next(fits)), lead(2), lead(3)]
    leads.append(lead(4, phones=[], emails=[], website=None, rating=None, geo=None))
    leads.append(lead(5, address=None, categories=["Tax Adviser"], review_count=None))
    if request.param != "in memory":
        monkeypatch.setattr("control_plane.store.view.RECENT_ROWS", 2)
        monkeypatch.setattr("control_plane.store.view.SEGMENT_ROWS", 4)
    with closing(TenantView("acme", tmp_path, ColumnCache(0 if request.param == "in files" else 1_000_000))) as made:
        for number, each in enumerate(leads):
            made.apply([Sighting(Position(1, number), "acme", f"tsk_{number % 2}", "", each)])
        kinds = [type(piece).__name__ for piece in made.snapshot.pieces]
        assert kinds == (["Recent"] if request.param == "in memory" else ["Stored", "Stored", "Recent"])
        yield made.snapshot


CASES: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [0, 1, 2, 3, 4, 5]),
    ({"q": "cafe munchen"}, [1, 4]),
    ({"q": "NUMMER 3"}, [3]),
    ({"lead_id": "lead_000002"}, [2]),
    ({"has_phone": True}, [0, 1, 2, 3, 5]),
    ({"has_phone": False}, [4]),
    ({"has_email": False}, [4]),
    ({"has_website": False}, [4]),
    ({"phone_validity": "valid"}, [0, 1, 2, 3, 5]),
    ({"phone_type": ["mobile", "fixed_line"]}, [0, 1, 2, 3, 5]),
    ({"city": ["berlin", "LYON"]}, [0, 2, 3]),
    ({"region": "x"}, []),
    ({"country": "fr"}, [2]),
    ({"postal_code": "00001"}, [1]),
    ({"near": {"lat": 52.5, "lon": 13.4, "radius_km": 5}}, [0, 3]),
    ({"near": {"lat": 50, "lon": 10, "radius_km": 20_000}}, [0, 1, 2, 3, 5]),
    ({"category": "cafe"}, [1, 2, 4]),
    ({"category": "bäckerei"}, [0, 3]),
    ({"rating_min": 0.2}, [2, 3, 5]),
    ({"rating_max": 0.1}, [0, 1]),
    ({"reviews_min": 3}, [3, 4]),
    ({"reviews_max": 3}, [0, 1, 2, 3]),
    ({"score_min": 101}, []),
    ({"score_max": -1}, []),
    ({"score_band": "nowhere"}, []),
    ({"enriched_category": "LEGAL"}, [0, 1]),
    ({"not": {"enriched_category": ["legal"]}}, [2, 3, 4, 5]),
    ({"fit_min": 71}, [1]),
    ({"fit_max": 70}, [0]),
    ({"platform": "directory"}, [0, 2, 4]),
    ({"task_id": "tsk_1"}, [1, 3, 5]),
    ({"date_from": "2026-03-01T09:04:00Z"}, [4, 5]),
    ({"date_to": "2026-03-01T09:01:00+00:00"}, [0, 1]),
    ({"date_to": "2026-03-01"}, [0, 1, 2, 3, 4, 5]),
    ({"not": {"rating_min": 0.2}}, [0, 1, 4]),
    ({"or": [{"city": "Lyon"}, {"has_phone": False}]}, [2, 4]),
    ({"and": [{"country": "DE"}, {"not": {"city": "Berlin"}}]}, [1, 4]),
    ({"country": "DE", "or": [{"rating_min": 0.3}, {"rating_max": 0}]}, [0, 3]),
]


@pytest.mark.parametrize(("where", "expected"), CASES, ids=[str(where) for where, _ in CASES])
def test_where(view: Snapshot, where: dict[str, Any], expected: list[int]) -> None:
    found = view.select(filters.condition(Where.model_validate(where), lambda lead_id: lead_id), ["lead_id"])
    assert sorted(found["lead_id"]) == [f"lead_{number:06d}" for number in expected]


def test_every_member_has_a_case() -> None:
    tried = {name for where, _ in CASES for name in where}
    assert tried == {field.alias or name for name, field in Where.model_fields.items()}


@pytest.mark.parametrize(
    "sort", [[], ["rating"], ["-rating"], ["country", "-review_count"], ["-name", "city"], ["-fit"]]
)
def test_pages_by_two_are_the_whole(view: Snapshot, sort: list[str]) -> None:
    def page(**query: Any) -> Any:
        asked = LeadQuery.model_validate({"sort": sort, **query})
        return LeadPageJson(filters.page(view, asked, lambda lead_id: lead_id))

    whole, seen, cursor = page(limit=100), [], None
    while True:
        part = page(limit=2, cursor=cursor)
        seen += part.ids
        cursor = part.next_cursor
        if cursor is None:
            break
    assert seen == whole.ids
    assert sorted(seen) == [f"lead_{number:06d}" for number in range(6)]


class LeadPageJson:
    """The ids and cursor of an answer."""

    def __init__(self, body: bytes) -> None:
        import orjson

        members = orjson.loads(body)
        self.ids = [item["lead_id"] for item in members["items"]]
        self.next_cursor = members["next_cursor"]


def refused(members: dict[str, Any]) -> Any:
    with pytest.raises(ValidationError) as caught:
        LeadQuery.model_validate(members)
    return problem_of(caught.value, LeadQuery)


def test_an_unknown_field_is_refused_by_naming_the_known() -> None:
    problem = refused({"where": {"or": [{"cty": "Berlin"}]}})
    assert isinstance(problem, Invalid)
    assert problem.errors[0]["loc"] == ["where", "or", 0, "cty"]
    assert "city" in problem.detail
    assert "postal_code" in problem.detail


def test_a_bad_date_is_a_bad_request() -> None:
    assert isinstance(refused({"where": {"date_from": "yesterday"}}), BadRequest)


def test_groups_cannot_be_nested_without_end() -> None:
    where: dict[str, Any] = {"q": "x"}
    for _ in range(6):
        where = {"not": where}
    assert isinstance(refused({"where": where}), Invalid)


@pytest.mark.parametrize("cursor", ["", "AAAA", "WzFd", "é"])
def test_a_foreign_cursor_is_refused(view: Snapshot, cursor: str) -> None:
    with pytest.raises(Invalid):
        filters.page(view, LeadQuery(cursor=cursor), lambda lead_id: lead_id)


@pytest.mark.parametrize("values", [["x", "lead"], [[], "lead"], [True, "lead"], [5, 5], [5, None], ["lead"]])
def test_a_cursor_with_other_values_is_refused(view: Snapshot, values: list[Any]) -> None:
    query = LeadQuery.model_validate({"sort": "rating", "limit": 2})
    body = orjson.loads(filters.page(view, query, lambda lead_id: lead_id))
    told = orjson.loads(base64.urlsafe_b64decode(body["next_cursor"] + "=="))
    forged = base64.urlsafe_b64encode(orjson.dumps([told[0], *values])).decode()
    with pytest.raises(Invalid):
        filters.page(view, query.model_copy(update={"cursor": forged}), lambda lead_id: lead_id)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_moment_beyond_all_calendars_is_a_bad_request(moment: str) -> None:
    assert isinstance(refused({"where": {"date_from": moment}}), BadRequest)


def test_a_where_that_is_too_much_work_is_refused() -> None:
    words = " ".join("abcdefghijklmnopqrstuv")
    assert isinstance(refused({"where": {"or": [{"or": [{"q": words}] * 20}] * 20}}), Invalid)
    assert isinstance(refused({"where": {"and": [{"city": ["Berlin"] * 100}] * 4}}), Invalid)
    LeadQuery.model_validate({"where": {"q": words, "city": ["Berlin"] * 100, "or": [{"q": "a b"}] * 5}})
