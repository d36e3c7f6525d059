"""A view is the same however its rows are stored and however it came to know them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest

from control_plane.store.filters import condition
from control_plane.store.models import Where
from control_plane.store.schema import LOG_SCHEMA, Position, Sighting, frame_of, log_row, scored
from control_plane.store.segments import ColumnCache, Recent, hashed, id_link
from control_plane.store.view import TenantView
from leads.identity import BLOCK_MAX
from leads.model import Lead
from tests.integration.control_plane.store.sample import START, lead

ANY = condition(Where(), lambda lead_id: lead_id)


def sightings(seed: int, count: int) -> list[Sighting]:
    """Sightings of a few dozen businesses: new ones, the same again, and some that join two that were known apart."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        business = chance.randrange(40)
        changes: dict[str, Any] = {"lead_id": f"lead_{business:06d}", "observation_id": f"obs_{number}"}
        if chance.random() < 0.2:
            changes["lead_id"] = f"lead_other_{number}"  # known by its identifiers only
        if chance.random() < 0.1:
            changes["phones"] = [*lead(business).phones, *lead((business + 7) % 40).phones]
        moment = START + timedelta(minutes=number)
        changes |= {"found_at": moment, "first_seen_at": moment, "last_seen_at": moment}
        seen = scored(lead(business, **changes))
        made.append(Sighting(Position(1_000 + number // 3, number % 3), "acme", f"tsk_{number % 5}", "", seen))
    return made


def told(view: TenantView) -> list[Any]:
    """All that a view says, in an order that does not depend on how it is stored."""
    snapshot = view.snapshot
    leads = [orjson.loads(text) for text in snapshot.leads(snapshot.select(ANY))]
    return sorted(
        (each["lead_id"], view.aliases_of(each["lead_id"]), orjson.dumps(each), history(view, each["lead_id"]))
        for each in leads
    )


def history(view: TenantView, lead_id: str) -> list[str]:
    return [sighting.lead.observation_id or "" for sighting in view.sightings(lead_id)]


def scan(log: Sequence[Sighting]) -> pl.LazyFrame:
    rows = frame_of([log_row(sighting, 1) for sighting in log], LOG_SCHEMA)
    return rows.sample(fraction=1, shuffle=True, seed=3).lazy()  # a log says nothing about its order


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From here on a few rows fill a segment."""

    def shrink() -> None:
        monkeypatch.setattr("control_plane.store.view.RECENT_ROWS", 4)
        monkeypatch.setattr("control_plane.store.view.SEGMENT_ROWS", 8)
        monkeypatch.setattr("control_plane.store.view.SETTLE_BUSINESSES", 3)

    return shrink


@pytest.mark.parametrize("seed", range(3))
def test_all_ways_lead_to_the_same_view(seed: int, tmp_path: Path, small: Callable[[], None]) -> None:
    log = sightings(seed, 100)
    with ExitStack() as stack:

        def new(memory: int = 10_000_000) -> TenantView:
            return stack.enter_context(closing(TenantView("acme", tmp_path, ColumnCache(memory))))

        whole = new()
        whole.apply(log)
        small()
        one_by_one, without_memory, loaded, half = new(), new(0), new(), new()
        for sighting in log:
            one_by_one.apply([sighting])
        for start in range(0, len(log), 7):
            without_memory.apply(log[start : start + 7])
        told_of: list[tuple[int, int]] = []
        loaded.load(scan(log), log[-1].position, lambda done, total: told_of.append((done, total)))
        assert told_of == sorted(told_of)
        assert {total for _, total in told_of} == {100}
        assert 80 < told_of[-1][0] <= 100
        half.load(scan(log[:70]), log[69].position, lambda *_: None)
        half.apply(log[60:])  # the ten that it knows change nothing
        assert len(whole.snapshot.pieces) == 1
        for view in (one_by_one, without_memory, loaded, half):
            assert len(view.snapshot.pieces) > 2, "otherwise this tries nothing"
            assert told(view) == told(whole)
            assert view.height == whole.height == len(told(whole))
            assert view.changed_at == whole.changed_at


def test_leads_that_come_one_by_one_take_no_more_memory_than_those_that_come_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece of memory a lead costs a hundred times the lead, and every query walks along them."""
    monkeypatch.setattr("control_plane.store.view.RECENT_CHUNKS", 5)
    log = sightings(4, 100)
    with ExitStack() as stack:
        together, one_by_one = (
            stack.enter_context(closing(TenantView("acme", tmp_path, ColumnCache(10_000_000)))) for _ in range(2)
        )
        together.apply(log)
        for sighting in log:
            one_by_one.apply([sighting])
            (recent,) = one_by_one.snapshot.pieces
            assert isinstance(recent, Recent)
            assert recent.rows.n_chunks() <= 5
            assert recent.standing.n_chunks() <= 5
            assert recent.rows.height <= one_by_one.height + 2 * 5, "rows that stand no more are let go of"
        assert told(one_by_one) == told(together)


def test_a_name_that_hundreds_have_joins_nobody(tmp_path: Path) -> None:
    """Neither does it make every new one be compared with all of them."""
    chain = [
        Sighting(Position(n + 1), "acme", "tsk_1", "", scored(lead(n, display_name="Kette", first_seen_at=START)))
        for n in range(BLOCK_MAX + 5)
    ]
    (name,) = {text for sighting in chain for text in sighting.identifiers if text.startswith("name:")}
    with ExitStack() as stack:
        watched, loaded = (
            stack.enter_context(closing(TenantView("acme", tmp_path, ColumnCache(10_000_000)))) for _ in range(2)
        )
        watched.apply(chain[:BLOCK_MAX])
        assert sum(len(rows) for _, rows in watched.snapshot.find(hashed([]), hashed([name]))) == BLOCK_MAX
        watched.apply(chain[BLOCK_MAX:])
        assert watched.snapshot.find(hashed([]), hashed([name])) == []
        (of_one_id,) = watched.snapshot.find(hashed([id_link("lead_000003")]), hashed([name]))
        assert len(of_one_id[1]) == 1
        loaded.load(scan(chain), chain[-1].position, lambda *_: None)
        assert watched.height == loaded.height == len(chain)


def test_a_snapshot_stays_what_it_was(tmp_path: Path, small: Callable[[], None]) -> None:
    small()
    log = sightings(1, 120)
    with closing(TenantView("acme", tmp_path, ColumnCache(0))) as view:
        view.apply(log[:40])
        before = view.snapshot
        leads = before.leads(before.select(ANY))
        for sighting in log[40:]:
            view.apply([sighting])
        assert before.leads(before.select(ANY)) == leads, "its segments were replaced, and are still there"
        files = {path.name for path in tmp_path.glob("view-*/*.arrow")}
        del before
        left = {path.name for path in tmp_path.glob("view-*/*.arrow")}
        assert left < files, "nobody holds them any more"
        assert len(left) == len(view.snapshot.pieces) - 1
    assert not list(tmp_path.iterdir())


def test_a_lead_is_found_by_any_id_it_had(tmp_path: Path) -> None:
    with closing(TenantView("acme", tmp_path, ColumnCache(0))) as view:
        again = lead(1, lead_id="lead_other", observation_id="obs_other", found_at=START + timedelta(days=1))
        view.apply(
            [Sighting(Position(n), "acme", "tsk_1", "", scored(each)) for n, each in enumerate((lead(1), again), 1)]
        )
        for lead_id in ("lead_000001", "lead_other"):
            found = view.lead(lead_id)
            assert found is not None
            assert Lead.model_validate_json(found).last_seen_at == START + timedelta(days=1)
        assert view.lead("lead_000002") is None


def test_memory_is_bounded_and_forgotten_in_order(tmp_path: Path, small: Callable[[], None]) -> None:
    small()
    with closing(TenantView("acme", tmp_path, ColumnCache(10_000_000))) as view:
        view.apply(sightings(2, 60))
        pieces = view.snapshot.pieces[:-1]
        size = pieces[0].frame(["lead_id"]).estimated_size()
    cache = ColumnCache(int(size * 2.5))
    with closing(TenantView("acme", tmp_path, cache)) as view:
        for number in range(60):
            view.apply([Sighting(Position(number + 1), "acme", "tsk_1", "", scored(lead(number)))])
        view.snapshot.select(ANY, ["lead_id", "name", "search"])
        assert 0 < cache.bytes <= size * 2.5
        assert view.snapshot.select(ANY, ["lead_id"]).height == 60


def test_batches_are_whole_rows_in_the_order_asked_for(tmp_path: Path, small: Callable[[], None]) -> None:
    small()
    wanted = condition(Where.model_validate({"city": "Berlin"}), lambda lead_id: lead_id)
    with closing(TenantView("acme", tmp_path, ColumnCache(0))) as view:
        for number in range(40):
            view.apply([Sighting(Position(number + 1), "acme", "tsk_1", "", scored(lead(number)))])
        snapshot = view.snapshot
        places = snapshot.select(wanted, ["stream_ms"]).sort("stream_ms", descending=True)
        expected = [f"Café Nummer {number}" for number in range(39, -1, -3)]
        for names in (["name", "lead"], ["name"], ["lead", "city"], ["lead"]):
            batches = list(snapshot.batches(places, names, 4))
            assert [batch.height for batch in batches] == [4, 4, 4, 2]
            assert all(batch.columns == names for batch in batches)
            rows = [row for batch in batches for row in batch.iter_rows(named=True)]
            assert all(row["city"] == "Berlin" for row in rows if "city" in row)
            assert [row.get("name") or orjson.loads(row["lead"])["display_name"] for row in rows] == expected
            assert all(
                orjson.loads(r["lead"])["display_name"] == r["name"] for r in rows if {"lead", "name"} <= r.keys()
            )
