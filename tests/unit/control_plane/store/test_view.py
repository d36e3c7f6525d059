"""The current view and what enriches it: stored again, an observation takes the place of the one before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import polars as pl
import pytest

from control_plane.store.schema import LOG_SCHEMA, Position, Sighting, frame_of, log_row
from control_plane.store.view import STANDING, TenantView
from leads.model import Enrichment, Lead
from leads.score import score
from tests.integration.control_plane.store.sample import START, lead


def answer(source: str, at: datetime = START, **members: Any) -> Enrichment:
    return Enrichment(category="legal", source=source, confidence=0.5, enriched_at=at, **members)


def seen(second: int, found: Lead, task: str = "tsk_1") -> Sighting:
    moments = {"first_seen_at": found.found_at, "last_seen_at": found.found_at}
    return Sighting(Position(second, 0), "acme", task, "", found.model_copy(update={"task_id": task} | moments))


def live(*sightings: Sighting) -> TenantView:
    """A view that was told one sighting after another."""
    view = TenantView("acme")
    for sighting in sightings:
        view.apply([sighting])
    return view


def loaded(*sightings: Sighting) -> TenantView:
    """A view that was made from a log of them."""
    view = TenantView("acme")
    view.load(frame_of([log_row(each, 1) for each in sightings], LOG_SCHEMA), sightings[-1].position)
    return view


def rows(view: TenantView) -> pl.DataFrame:
    return view.frame.filter(STANDING).drop(STANDING).sort("lead_id")


PLAIN = seen(1, lead(1, enrichment=answer("rules", summary="plain")))
ENRICHED = seen(3, lead(1, enrichment=answer("ai", summary="told", fit=5, model="m")))
OTHER = seen(2, lead(2))


@pytest.mark.parametrize("make", [live, loaded])
def test_an_enriched_observation_takes_the_place_of_the_plain_one(make: Any) -> None:
    view = make(PLAIN, OTHER, ENRICHED)
    first, second = rows(view).iter_rows(named=True)
    assert (first["enriched_category"], first["summary"], first["fit"]) == ("legal", "told", 5)
    assert (second["enriched_category"], second["fit"]) == (None, None)
    assert len(view.sightings("lead_000001")) == 1
    assert Lead.model_validate_json(first["lead"]).enrichment == ENRICHED.lead.enrichment
    # Nothing of when and where it was seen has moved.
    unenriched = rows(make(PLAIN, OTHER)).row(0, named=True)
    assert {name for name, value in first.items() if value != unenriched[name]} == {"summary", "fit", "lead"}


def test_a_view_that_is_made_again_is_the_same() -> None:
    again = seen(4, lead(1, source_url="https://cafe-1.example/"), task="tsk_2")
    sightings = [PLAIN, OTHER, ENRICHED, again]
    for count in range(1, 5):
        assert rows(live(*sightings[:count])).equals(rows(loaded(*sightings[:count])))


@pytest.mark.parametrize("make", [live, loaded])
def test_a_page_that_is_seen_again_does_not_wipe_a_models_answer(make: Any) -> None:
    again = seen(4, lead(1, enrichment=answer("rules", START.replace(hour=20))), task="tsk_2")
    (row,) = rows(make(PLAIN, ENRICHED, again)).iter_rows(named=True)
    assert (row["summary"], row["fit"]) == ("told", 5)
    newer = seen(5, lead(1, enrichment=answer("ai", START.replace(hour=21), summary="new")), task="tsk_2")
    (row,) = rows(make(PLAIN, ENRICHED, again, newer)).iter_rows(named=True)
    assert row["summary"] == "new"


@pytest.mark.parametrize("make", [live, loaded])
def test_a_merged_lead_is_scored_and_judged_by_the_rules_for_its_objective(make: Any) -> None:
    mail = lead(1, phones=[], lead_objective="email_outreach", enrichment=answer("rules"))
    call = lead(
        1, emails=[], lead_objective="cold_calling", enrichment=answer("rules"), found_at=START.replace(hour=20)
    )
    (row,) = rows(make(seen(1, mail), seen(2, call, task="tsk_2"))).iter_rows(named=True)
    merged = Lead.model_validate_json(row["lead"])
    assert (row["score"], merged.score_band, merged.score_reasons) == score(merged, "cold_calling")
    assert (row["score"], merged.score_reasons) != score(merged)[::2]
    assert merged.enrichment
    assert (merged.enrichment.category, merged.enrichment.objective) == ("food_and_drink", "cold_calling")
    assert row["fit"] == merged.enrichment.fit == 85
