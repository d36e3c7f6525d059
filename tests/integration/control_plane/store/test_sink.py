"""Every result is stored once: two sinks that race, deaths between the steps, kill -9 of the worker."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from control_plane.store import scripts
from control_plane.store.client import LeadStore
from control_plane.store.options import StoreOptions
from control_plane.store.schema import LOG_SCHEMA, Position, frame_of, log_row
from control_plane.store.sink import Sink, sightings_of
from control_plane.store.table import BatchTaken, ObservationLog
from fleet.keys import Keys
from tests.integration.control_plane.store.sample import found, lead
from tests.integration.control_plane.store.support import in_a_bucket
from tests.support import wait_until

LEASE = timedelta(seconds=5)


@pytest.fixture(params=["file", "s3"])
async def location(request: pytest.FixtureRequest, options: StoreOptions) -> StoreOptions:
    """The options of a table on disk, and of one in a bucket."""
    return options if request.param == "file" else await in_a_bucket(options)


def stored_ids(options: StoreOptions) -> Counter[str]:
    """How often each lead stands in the log, read by a reader of its own."""
    log = ObservationLog.of(options)
    log.stored()
    return Counter(log.read(after=Position())["lead_id"].to_list())


def once(*numbers: int) -> Counter[str]:
    return Counter({f"lead_{number:06d}": 1 for number in numbers})


async def test_two_sinks_store_a_batch_once(location: StoreOptions, valkey: Redis, keys: Keys) -> None:
    sinks = [Sink(valkey, keys, ObservationLog.of(location), 0.01) for _ in range(2)]
    for sink in sinks:
        await sink.store_batch()
    for start in range(0, 15, 3):
        await found(valkey, keys, *(lead(number) for number in range(start, start + 3)))
        outcomes = await asyncio.gather(*(sink.store_batch() for sink in sinks), return_exceptions=True)
        assert all(isinstance(outcome, int | BatchTaken) for outcome in outcomes), outcomes
    assert stored_ids(location) == once(*range(15))
    assert await valkey.xlen(keys.results()) == 0


async def test_a_batch_whose_sink_died_before_the_cursor_is_not_stored_again(
    options: StoreOptions, valkey: Redis, keys: Keys
) -> None:
    await found(valkey, keys, lead(0), lead(1))
    entries = await valkey.xrange(keys.results())
    died = ObservationLog.of(options)
    died.stored()
    rows = frame_of([log_row(sighting, 1) for sighting in sightings_of(entries)], LOG_SCHEMA)
    died.append(rows, 1, Position.parse(entries[-1][0]))
    await found(valkey, keys, lead(2))
    assert await Sink(valkey, keys, ObservationLog.of(options), 0.01).store_batch() == 1
    assert stored_ids(options) == once(0, 1, 2)
    assert await valkey.xlen(keys.results()) == 0
    assert (await valkey.hgetall(keys.sink_cursor()))[b"batch"] == b"2"


async def test_a_sink_that_slept_is_refused_its_batch(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    asleep, awake = ObservationLog.of(options), ObservationLog.of(options)
    asleep.stored()
    await found(valkey, keys, lead(0))
    await Sink(valkey, keys, awake, 0.01).store_batch()
    late = frame_of([], LOG_SCHEMA)
    with pytest.raises(BatchTaken):
        asleep.append(late, 1, Position(1, 1))
    assert stored_ids(options) == once(0)


async def test_an_entry_that_does_not_parse_holds_nobody_up(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    await valkey.xadd(keys.results(), {"tenant": "acme", "task": "tsk_1", "lead": "{not json"})
    await valkey.xadd(keys.results(), {"unexpected": "fields"})
    await found(valkey, keys, lead(0))
    assert await Sink(valkey, keys, ObservationLog.of(options), 0.01).store_batch() == 3
    assert stored_ids(options) == once(0)


async def test_tidying_keeps_rows_and_place(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    log = ObservationLog.of(options)
    sink = Sink(valkey, keys, log, 0.01)
    for number in range(5):
        await found(valkey, keys, lead(number))
        await sink.store_batch()
    before = log.stored()
    log.tidy(256)
    assert ObservationLog.of(options).stored() == before
    assert before.batch == 5
    assert stored_ids(options) == once(*range(5))


async def test_the_worker_may_be_killed_at_any_time(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    store = LeadStore(options)
    await store.start()
    try:
        for life in range(3):
            await wait_until(lambda: _is_healthy(store), 60, "a worker")
            await found(valkey, keys, *(lead(number) for number in range(life * 50, life * 50 + 50)))
            assert store.worker_pid is not None
            os.kill(store.worker_pid, signal.SIGKILL)
            await wait_until(lambda life=life: store.restarts == life + 1, 30, "the death to be noticed")
        # a dead sink's lease runs out first
        await wait_until(lambda: _is_empty(valkey, keys), 60, "everything to be stored")
    finally:
        await store.close()
    assert stored_ids(options) == once(*range(150))


@pytest.mark.parametrize(
    ("holder", "answer", "after"),
    [(None, True, b"me"), (b"me", True, b"me"), (b"another", False, b"another")],
    ids=["free", "ours", "another's"],
)
async def test_hold_lease(valkey: Redis, keys: Keys, holder: bytes | None, answer: bool, after: bytes) -> None:
    if holder is not None:
        await valkey.set(keys.sink_lease(), holder)
    assert await scripts.hold_lease(valkey, keys, "me", LEASE) is answer
    assert await valkey.get(keys.sink_lease()) == after
    assert (await valkey.pttl(keys.sink_lease()) > 0) is answer


@pytest.mark.parametrize(
    ("holder", "answer", "after"),
    [(None, False, None), (b"me", True, None), (b"another", False, b"another")],
    ids=["free", "ours", "another's"],
)
async def test_release_lease(
    valkey: Redis, keys: Keys, holder: bytes | None, answer: bool, after: bytes | None
) -> None:
    if holder is not None:
        await valkey.set(keys.sink_lease(), holder)
    assert await scripts.release_lease(valkey, keys, "me") is answer
    assert await valkey.get(keys.sink_lease()) == after


@pytest.mark.parametrize(
    ("cursor", "stored", "trimmed", "after", "left"),
    [
        (None, Position(10, 1), 2, b"10-1", [b"10-2", b"11-0"]),
        (b"10-0", Position(10, 1), 2, b"10-1", [b"10-2", b"11-0"]),
        (b"10-1", Position(10, 1), None, b"10-1", [b"10-0", b"10-1", b"10-2", b"11-0"]),
        (b"11-0", Position(10, 2), None, b"11-0", [b"10-0", b"10-1", b"10-2", b"11-0"]),
        (b"9-5", Position(11, 0), 4, b"11-0", []),
    ],
    ids=["first", "next", "known", "late", "all"],
)
async def test_advance_cursor(
    valkey: Redis,
    keys: Keys,
    cursor: bytes | None,
    stored: Position,
    trimmed: int | None,
    after: bytes,
    left: list[bytes],
) -> None:
    for entry in ("10-0", "10-1", "10-2", "11-0"):
        await valkey.xadd(keys.results(), {"x": "y"}, id=entry)
    if cursor is not None:
        await valkey.hset(keys.sink_cursor(), mapping={"cursor": cursor, "batch": 1})
    assert await scripts.advance_cursor(valkey, keys, stored, 2) == trimmed
    assert await valkey.hget(keys.sink_cursor(), "cursor") == after
    assert [entry for entry, _ in await valkey.xrange(keys.results())] == left


async def _is_healthy(store: LeadStore) -> bool:
    return (await store.health())["status"] == "healthy"


async def _is_empty(valkey: Redis, keys: Keys) -> bool:
    return await valkey.xlen(keys.results()) == 0
