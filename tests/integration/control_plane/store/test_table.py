"""The observation log as a Delta table: erased, tidied, evolved, and read by others."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from deltalake.writer import write_deltalake

from control_plane.store import table as table_module
from control_plane.store import upkeep
from control_plane.store.options import StoreOptions
from control_plane.store.schema import LOG_SCHEMA, Position, Sighting, frame_of, log_row
from control_plane.store.table import BatchTaken, ObservationLog
from leads.model import Lead
from tests.integration.control_plane.store.sample import lead
from tests.integration.control_plane.store.support import in_a_bucket
from tests.integration.control_plane.store.traces import traces_in

FAR = Position(9_000_000_000_000, 0)


def rows(batch: int, leads: Sequence[Lead], tenant: str = "acme") -> pl.DataFrame:
    """A batch; its entries came in one millisecond."""
    sightings = [Sighting(Position(batch, seq), tenant, "tsk_1", "1-0", each) for seq, each in enumerate(leads)]
    return frame_of([log_row(sighting, batch) for sighting in sightings], LOG_SCHEMA)


def stored(options: StoreOptions, batches: int, each: int = 3, tenant: str = "acme") -> ObservationLog:
    log = ObservationLog.of(options)
    for _ in range(batches):
        batch = log.stored().batch + 1
        leads = [lead(batch * each + n) for n in range(each)]
        log.append(rows(batch, leads, tenant), batch, Position(batch, each))
    return log


def ids(log: ObservationLog) -> list[str]:
    log.stored()
    return sorted(log.read(after=Position())["lead_id"])


def folder(options: StoreOptions) -> Path:
    return Path(options.leads_uri.removeprefix("file://"))


@pytest.mark.parametrize("place", ["file", "s3"])
async def test_erasing_leaves_nothing_in_any_file(options: StoreOptions, place: str) -> None:
    if place == "s3":
        options = await in_a_bucket(options)
    log = stored(options, 12)
    stored(options, 1, tenant="globex")
    before = ids(log)
    log.tidy(256)  # the joined file and the twelve that it replaced hold them now
    assert traces_in(options, "Nummer 14") != []
    stored_before = log.stored()
    erased = log.erase("acme", ["lead_000014", "lead_000021"], FAR)
    assert (erased.rows, erased.complete) == (2, True)
    assert ids(log) == [each for each in before if each not in {"lead_000014", "lead_000021"}]
    assert traces_in(options, "Nummer 14", "Nummer 21", "lead_000014", "lead_000021") == []
    assert log.stored().position == stored_before.position
    assert log.stored().batch == stored_before.batch + 2, "one number for the fence, one for the rows"


def test_erasing_stops_at_its_place(options: StoreOptions) -> None:
    log = ObservationLog.of(options)
    log.stored()
    log.append(rows(1, [lead(1), lead(2)]), 1, Position(1, 2))
    log.append(rows(2, [lead(1)]), 2, Position(2, 1))
    assert log.erase("acme", ["lead_000001"], Position(1, 9)).rows == 1
    assert ids(log) == ["lead_000001", "lead_000002"]
    assert log.erase("globex", ["lead_000002"], FAR).rows == 0
    assert len(ids(log)) == 2


@pytest.mark.parametrize("lead_id", ["lead_000003", "lead_nobody"], ids=["rows went", "no row went"])
def test_a_batch_in_the_hands_of_a_slow_sink_cannot_bring_back_what_was_erased(
    options: StoreOptions, lead_id: str
) -> None:
    log = stored(options, 1)
    slow = ObservationLog.of(options)
    assert slow.stored().batch == 1
    log.erase("acme", [lead_id], FAR)
    with pytest.raises(BatchTaken):
        slow.append(rows(2, [lead(3)]), 2, Position(2, 1))
    assert slow.stored().batch >= 2
    assert "lead_000003" not in ids(slow) or lead_id == "lead_nobody"


def test_a_tidying_that_was_begun_before_an_erasure_cannot_bring_back_what_was_erased(options: StoreOptions) -> None:
    log = stored(options, 12)
    slow = DeltaTable(options.leads_uri)
    log.erase("acme", ["lead_nobody"], FAR)
    with pytest.raises(CommitFailedError):
        upkeep.join(slow, ("tenant", "=", "acme"), 64 << 20, 256)


@pytest.mark.parametrize("late", ["_fence", "join"])
def test_of_two_tidyings_at_once_one_is_refused(
    options: StoreOptions, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    log = stored(options, 12)
    before = ids(log)
    module = table_module if late == "_fence" else upkeep
    step = getattr(module, late)

    def after_another_tidying(*args: Any) -> Any:
        monkeypatch.setattr(module, late, step)
        assert ObservationLog.of(options).tidy(256).joined == 12
        return step(*args)

    monkeypatch.setattr(module, late, after_another_tidying)
    with pytest.raises(BatchTaken):
        log.tidy(256)
    assert ids(log) == before


def test_a_tidying_within_an_erasure_does_not_bring_back_what_was_erased(
    options: StoreOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = stored(options, 12)
    delete = table_module._delete

    def delete_late(*args: Any) -> None:
        assert ObservationLog.of(options).tidy(256).joined == 12
        delete(*args)

    monkeypatch.setattr(table_module, "_delete", delete_late)
    with pytest.raises(BatchTaken):
        log.erase("acme", ["lead_000003"], FAR)
    monkeypatch.setattr(table_module, "_delete", delete)
    assert len(ids(log)) == 36
    assert log.erase("acme", ["lead_000003"], FAR).complete
    assert len(ids(log)) == 35
    assert traces_in(options, "lead_000003") == []


def test_what_a_sink_wrote_before_it_died_is_erased_as_well(options: StoreOptions) -> None:
    log = stored(options, 1)
    inside = folder(options) / "tenant=acme"
    orphan = inside / "part-00000-orphan.snappy.parquet"
    shutil.copy(next(inside.glob("*.parquet")), orphan)
    log.erase("acme", ["lead_000003"], FAR)
    assert not orphan.exists()
    assert traces_in(options, "lead_000003") == []
    assert ids(log) == ["lead_000004", "lead_000005"]


def test_more_rows_than_a_commit_can_name_go_in_several(options: StoreOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "ERASED_AT_ONCE", 25)
    monkeypatch.setattr(table_module, "PREDICATE_GROUPS", 4)
    log = stored(options, 6, each=9)
    wanted = ids(log)[5:]
    calls = 1
    while not log.erase("acme", wanted, FAR).complete:
        calls += 1
    assert calls >= 3
    assert len(ids(log)) == 5


def test_a_scan_that_lost_its_file_reads_the_newest_version(options: StoreOptions) -> None:
    log = stored(options, 2)
    other = ObservationLog.of(options)
    other.stored()
    log.erase("acme", ["lead_000003"], FAR)
    assert len(other.read(after=Position())) == 5


def test_tidying_joins_what_is_small_and_a_sink_begins_again(options: StoreOptions) -> None:
    log = stored(options, 12)
    stored(options, 2, tenant="globex")
    before, held = ids(log), log.stored()
    slow = ObservationLog.of(options)
    slow.stored()
    done = log.tidy(256)
    assert (done.joined, done.made) == (12, 1), "two files of a tenant are not worth it"
    assert (ids(log), log.stored().position) == (before, held.position)
    with pytest.raises(BatchTaken):
        slow.append(rows(held.batch + 1, [lead(99)]), held.batch + 1, Position(99, 0))
    batch = slow.stored().batch + 1
    slow.append(rows(batch, [lead(99)]), batch, Position(99, 0))
    assert ids(log) == sorted([*before, "lead_000099"])
    assert log.tidy(256).joined == 0


def test_the_log_of_commits_does_not_grow_for_ever(options: StoreOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(table_module.PROPERTIES, "delta.logRetentionDuration", "interval 0 seconds")
    monkeypatch.setattr(upkeep, "VACUUM_AFTER", upkeep.VACUUM_AFTER * 0)
    log = stored(options, 30, each=1)
    before = ids(log)
    commits = folder(options) / "_delta_log"
    assert len(list(commits.glob("*.json"))) > 30
    log.tidy(256)
    assert len(list(commits.glob("*.json"))) <= 2
    assert len(list((folder(options) / "tenant=acme").glob("*.parquet"))) == 1
    assert ids(ObservationLog.of(options)) == before
    stored(options, 1, each=1)
    assert len(ids(log)) == 31


def test_an_older_table_gets_the_columns_it_lacks(options: StoreOptions) -> None:
    lacking = ["socials", "description", "review_count"]
    older = pl.Schema({name: dtype for name, dtype in LOG_SCHEMA.items() if name not in lacking})
    made = DeltaTable.create(options.leads_uri, schema=older, partition_by=["tenant"])
    write_deltalake(made, rows(1, [lead(1)]).drop(lacking), mode="append")
    log = ObservationLog.of(options)
    assert log.stored().batch == 0
    log.append(rows(2, [lead(2)]), 1, Position(2, 0))
    found = log.read(after=Position())
    assert found["lead_id"].to_list() == ["lead_000001", "lead_000002"]
    assert found["review_count"].to_list() == [None, 2]
    assert found["socials"].to_list() == [[], []]
    assert DeltaTable(options.leads_uri).metadata().configuration == table_module.PROPERTIES


def test_a_newer_table_takes_rows_without_its_new_columns(options: StoreOptions) -> None:
    newer = pl.Schema({**LOG_SCHEMA, "mood": pl.String})
    DeltaTable.create(options.leads_uri, schema=newer, partition_by=["tenant"])
    log = stored(options, 2)
    assert len(ids(log)) == 6
    log.erase("acme", ["lead_000003"], FAR)
    assert pl.read_delta(options.leads_uri)["mood"].to_list() == [None] * 5


def test_no_value_of_a_lead_stands_in_the_log_of_commits(options: StoreOptions) -> None:
    stored(options, 101, each=1).tidy(256)
    logged = "".join(path.read_text() for path in (folder(options) / "_delta_log").glob("*.json"))
    checkpoints = [pl.read_parquet(path).write_json() for path in (folder(options) / "_delta_log").glob("*.parquet")]
    assert checkpoints
    assert "stream_ms" in logged
    assert not [text for text in ("Nummer", "+4930", "cafe-") if text in logged + "".join(checkpoints)]


@pytest.mark.soak
def test_tidying_200_000_rows_keeps_to_its_memory(options: StoreOptions) -> None:
    memory_mb = 256
    log = ObservationLog.of(options)
    log.stored()
    base = [lead(n, description=f"{n * 7919:0200x}") for n in range(1_000)]
    for batch in range(1, 201):
        log.append(rows(batch, base).with_columns(pl.lit(f"{batch}").alias("task_id")), batch, Position(batch, 1_000))
    process = psutil.Process()
    idle, peak, over = process.memory_info().rss, 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.01):
            peak = max(peak, process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    began = time.monotonic()
    done = log.tidy(memory_mb)
    took = time.monotonic() - began
    over.set()
    watching.join()
    grown = (peak - idle) / 1_000_000
    print(f"\n{done.joined} files joined into {done.made} in {took:.1f} s, {grown:.0f} MB above {idle / 1e6:.0f} MB")
    assert done.joined == 200
    assert grown <= memory_mb
