"""What enriches a lead: stored again, an observation takes the place of the one before; a view built anew agrees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from control_plane.store.schema import Position, Sighting
from control_plane.store.segments import ColumnCache
from control_plane.store.view import TenantView
from leads.model import Enrichment, Lead
from leads.score import score
from tests.integration.control_plane.store.sample import START, lead
from tests.unit.control_plane.store.test_view import ANY, scan, told

LATER = START + timedelta(hours=9)
COLUMNS = ["lead_id", "enriched_category", "summary", "fit", "score", "first_seen_at", "last_seen_at", "stream_ms"]

Make = Callable[..., TenantView]


def answer(source: str, at: datetime = START, **members: Any) -> Enrichment:
    return Enrichment(category="legal", source=source, confidence=0.5, enriched_at=at, **members)


def seen(second: int, found: Lead, task: str = "tsk_1") -> Sighting:
    moments = {"first_seen_at": found.found_at, "last_seen_at": found.found_at}
    return Sighting(Position(second, 0), "acme", task, "", found.model_copy(update={"task_id": task} | moments))


PLAIN = seen(1, lead(1, enrichment=answer("rules", summary="plain")))
ENRICHED = seen(3, lead(1, enrichment=answer("ai", summary="told", fit=5, model="m")))
OTHER = seen(2, lead(2))


@pytest.fixture
def views(tmp_path: Path) -> Iterator[dict[str, Make]]:
    """A view that is told one sighting after another, and one that is built from a log of them."""
    with ExitStack() as stack:

        def new() -> TenantView:
            return stack.enter_context(closing(TenantView("acme", tmp_path, ColumnCache(10_000_000))))

        def live(*sightings: Sighting) -> TenantView:
            view = new()
            for sighting in sightings:
                view.apply([sighting])
            return view

        def built(*sightings: Sighting) -> TenantView:
            view = new()
            view.load(scan(sightings), sightings[-1].position, lambda *_: None)
            return view

        yield {"live": live, "built": built}


@pytest.fixture(params=["live", "built"])
def make(request: pytest.FixtureRequest, views: dict[str, Make]) -> Make:
    return views[request.param]


def rows(view: TenantView) -> list[dict[str, Any]]:
    snapshot = view.snapshot
    found = snapshot.select(ANY, COLUMNS)
    leads = pl.Series("lead", snapshot.leads(found), dtype=pl.String)
    return found.select(COLUMNS).with_columns(leads).sort("lead_id").to_dicts()


def test_an_enriched_observation_takes_the_place_of_the_plain_one(make: Make) -> None:
    view = make(PLAIN, OTHER, ENRICHED)
    first, second = rows(view)
    assert (first["enriched_category"], first["summary"], first["fit"]) == ("legal", "told", 5)
    assert (second["enriched_category"], second["fit"]) == (None, None)
    assert len(view.sightings("lead_000001")) == 1
    assert Lead.model_validate_json(first["lead"]).enrichment == ENRICHED.lead.enrichment
    unenriched = rows(make(PLAIN, OTHER))[0]  # nothing of when and where it was seen has moved
    assert {name for name, value in first.items() if value != unenriched[name]} == {"summary", "fit", "lead"}


def test_a_view_that_is_built_anew_is_the_same(views: dict[str, Make]) -> None:
    again = seen(4, lead(1, source_url="https://cafe-1.example/"), task="tsk_2")
    better = seen(5, lead(1, source_url="https://cafe-1.example/", enrichment=answer("ai", LATER)), task="tsk_2")
    sightings = [PLAIN, OTHER, ENRICHED, again, better]
    for count in range(1, 6):
        live, built = views["live"](*sightings[:count]), views["built"](*sightings[:count])
        assert told(live) == told(built)
        assert rows(live) == rows(built)


def test_a_page_that_is_seen_again_does_not_wipe_a_models_answer(make: Make) -> None:
    again = seen(4, lead(1, enrichment=answer("rules", LATER)), task="tsk_2")
    (row,) = rows(make(PLAIN, ENRICHED, again))
    assert (row["summary"], row["fit"]) == ("told", 5)
    newer = seen(5, lead(1, enrichment=answer("ai", LATER, summary="new")), task="tsk_2")
    (row,) = rows(make(PLAIN, ENRICHED, again, newer))
    assert row["summary"] == "new"


def test_a_merged_lead_is_scored_and_judged_by_the_rules_for_its_objective(make: Make) -> None:
    mail = lead(1, phones=[], lead_objective="email_outreach", enrichment=answer("rules"))
    call = lead(1, emails=[], lead_objective="cold_calling", enrichment=answer("rules"), found_at=LATER)
    (row,) = rows(make(seen(1, mail), seen(2, call, task="tsk_2")))
    merged = Lead.model_validate_json(row["lead"])
    assert (row["score"], merged.score_band, merged.score_reasons) == score(merged, "cold_calling")
    assert merged.score_reasons != score(merged)[2]
    assert merged.enrichment
    assert (merged.enrichment.category, merged.enrichment.objective) == ("food_and_drink", "cold_calling")
    assert row["fit"] == merged.enrichment.fit == 85
