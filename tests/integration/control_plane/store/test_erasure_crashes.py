"""An erasure under kill -9: it goes on behind the last step that was done, whoever does it, and ends the same."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from control_plane.erasure.opt_outs import Kind
from control_plane.erasure.registry import Registry
from control_plane.store.options import StoreOptions
from control_plane.store.schema import Position
from control_plane.store.table import ObservationLog
from fleet.keys import Keys
from tests.integration.control_plane.store.ledger import SinkProcess
from tests.integration.control_plane.store.sample import found, lead
from tests.integration.control_plane.store.support import in_a_bucket
from tests.integration.control_plane.store.traces import traces_in
from tests.support import wait_until

MOST_DEATHS = 12
"""There are six steps, the search, and the end."""


@pytest.mark.parametrize(
    "place", [pytest.param("file", marks=pytest.mark.faults), pytest.param("s3", marks=pytest.mark.soak)]
)
async def test_an_erasure_goes_on_after_every_death(
    options: StoreOptions, valkey: Redis, keys: Keys, place: str
) -> None:
    if place == "s3":
        options = await in_a_bucket(options)
    registry = Registry(valkey, keys)
    await found(valkey, keys, *(lead(n, emails=[f"info@cafe-{n % 2}.com"]) for n in range(20)))
    await _until_stored(options, valkey, keys)
    await found(valkey, keys, *(lead(n, emails=[f"info@cafe-{n % 2}.com"]) for n in range(20, 24)))
    erasure, _ = await registry.begin("acme", Kind.DOMAIN, "cafe-1.com", None, [])

    # After the first step, in the middle of rewriting the rows, between the commit and deleting the files, then after
    # every step that is left.
    after_a_step = ("after a step of an erasure", "0")
    ends = [after_a_step, ("in the erasing", "20"), ("before the files go", "0"), *[after_a_step] * MOST_DEATHS]
    deaths = 0
    for instant, delay in ends:
        if (await registry.erasure("acme", erasure)).status == "done":
            break
        await valkey.delete(keys.sink_lease())
        sink = SinkProcess(options, instant, "0", delay)
        try:
            await sink.ready()
            await wait_until(lambda sink=sink: _is_over(sink, registry, erasure), 60, "a death, or the end")
        finally:
            deaths += sink.close()
    record = await registry.erasure("acme", erasure)
    assert deaths >= 6
    assert (record.status, record.leads) == ("done", 12)
    assert record.steps_done == ["trace", "events", "results", "log", "checkpoints", "exports"]

    await _until_stored(options, valkey, keys)
    log = ObservationLog.of(options)
    assert log.stored().batch > 2
    left = log.read(after=Position())
    assert sorted(left["observation_id"]) == [f"obs_{n:06d}" for n in range(0, 24, 2)]
    assert traces_in(options, "cafe-1.com", "Nummer 13", "Nummer 21") == []
    assert await valkey.xlen(keys.erasures()) == 1, "the views are told once"


async def _is_over(sink: SinkProcess, registry: Registry, erasure: str) -> bool:
    return sink.is_dead or (await registry.erasure("acme", erasure)).status == "done"


async def _until_stored(options: StoreOptions, valkey: Redis, keys: Keys) -> None:
    """Have a sink that nobody disturbs store what is on the stream."""
    await valkey.delete(keys.sink_lease())
    sink = SinkProcess(options)
    try:
        await sink.ready()

        async def nothing_left() -> bool:
            return await valkey.xlen(keys.results()) == 0 and await valkey.zcard(keys.erasures_open()) == 0

        await wait_until(nothing_left, 60, "everything to be stored")
    finally:
        sink.close()
