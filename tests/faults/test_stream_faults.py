"""Clients that lose their replica, do not read, read slowly, or come back with odd ids."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import psutil
import pytest

from infra.bench.fake_nodes import FakeNodes, Habits, number_of
from infra.bench.raw_client import RawClient
from tests.faults.fleet import FaultyFleet
from tests.faults.ledger import Sized
from tests.faults.site import Sites
from tests.faults.viewers import Transport, over_socket, over_sse
from tests.support import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

FLEET = {"nodes": 1, "slots": 1}
CUT_S = 10.0
"""From the last byte that a client took until its connection is gone."""
WAIT_S = 180


async def test_06_clients_of_a_killed_replica_resume_on_another(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    tasks = [await fleet.submit(f"http://lost-{number}.site.test/", key=f"lost-{number}") for number in range(3)]
    viewers = {task: [fleet.watch(task, 0, way) for way in (over_socket, over_sse) for _ in range(4)] for task in tasks}
    await wait_until(lambda: fleet.viewers_of(0) == 24, WAIT_S, "all viewers to be connected")
    await fleet.until(tasks[0], lambda state: state["pages"] >= 1, "its first page")
    before = [await _place(fleet, task) for task in tasks]
    async with fleet.killed("control-plane-1"):

        async def resumed() -> None:
            await wait_until(lambda: fleet.viewers_of(1) == 24, WAIT_S, "all viewers to be back")

        await fleet.recovers("06 24 streams resumed on the other replica", 1.0, resumed)
        assert [await _place(fleet, task) for task in tasks] == before
        late = await fleet.submit("http://lost-3.site.test/", key="lost-3")
        site.let_go()
        ends = await fleet.ended(*tasks, late)
    assert [(end["status"], end["attempt"]) for end in ends] == [("completed", 1)] * 4
    for task in tasks:
        told = [[event["id"] for event in await viewer] for viewer in viewers[task]]
        assert told == [told[0]] * 8, "none missed or repeated one"


@pytest.mark.faults
async def test_17_a_socket_that_is_never_read_is_cut_and_holds_little(fleet: FaultyFleet, site: Sites) -> None:
    habits = Habits(page_s=0.2, logs=100, log_bytes=900)
    async with _told_by_a_fake(fleet, site, "deaf", habits) as (task, _):
        healthy = fleet.watch(task)
        await wait_until(lambda: fleet.viewers_of(0) == 1, WAIT_S, "the viewer that reads")
        replica = psutil.Process(fleet.pid("control-plane-1"))
        before = peak = replica.memory_info().rss
        url, key = fleet.stack.urls[0], fleet.stack.api_key
        deaf = [
            await RawClient.open_socket(url, f"/api/scraper/ws/{what}/{task}", key)
            for what in ("events", "frames")
            for _ in range(10)
        ]

        async def cut() -> None:
            def gone() -> bool:
                nonlocal peak
                peak = max(peak, replica.memory_info().rss)
                return not _held(replica, deaf)

            await wait_until(gone, WAIT_S, "the replica to cut those that do not read")

        try:
            await fleet.recovers("17 sockets that are never read are cut", CUT_S, cut)
        finally:
            for client in deaf:
                client.close()
        fleet.ledger.note(Sized("17 bytes held for a socket that is never read", (peak - before) / len(deaf), 5e6))
        assert not healthy.done()
    await healthy


@pytest.mark.faults
async def test_18_a_slow_mjpeg_client_sees_the_newest_picture_and_is_cut_when_it_stops(
    fleet: FaultyFleet, site: Sites
) -> None:
    habits = Habits(jpeg_bytes=60_000)
    async with _told_by_a_fake(fleet, site, "slow", habits) as (task, nodes):
        replica = psutil.Process(fleet.pid("control-plane-1"))
        slow = await RawClient.open(fleet.stack.urls[0], f"/live_feed/{task}?fps=30", fleet.stack.api_key)
        sent = nodes.pictures
        unit = f"{task}.0"
        first = number_of(await slow.part())
        stalled = first + 60
        await wait_until(lambda: sent[unit] > stalled, WAIT_S, "pictures that the client does not take")
        late = [number_of(await slow.part())]
        while late[-1] < stalled:
            late.append(number_of(await slow.part()))
        assert late == sorted(set(late)), "none twice, none from before"
        assert len(late) < 30, "what its buffers could not hold was left out"

        async def cut() -> None:
            await wait_until(lambda: not _held(replica, [slow]), WAIT_S, "the replica to cut it")

        await fleet.recovers("18 an MJPEG client that stopped is cut", CUT_S, cut)
        slow.close()


@pytest.mark.faults
async def test_19_two_hundred_viewers_come_back_spread_out(fleet: FaultyFleet, site: Sites) -> None:
    site.hold()
    task = await fleet.submit("http://crowd-1.site.test/", key="crowd-1")
    viewers = [fleet.watch(task, 0, way, patient=True) for way in (over_socket, over_sse) for _ in range(100)]
    await wait_until(lambda: fleet.viewers_of(0) == 200, WAIT_S, "all viewers to be connected")
    told = list(fleet.retry_s.values())[-200:]
    async with fleet.killed("control-plane-1"):

        async def back() -> None:
            await wait_until(lambda: fleet.viewers_of(1) == 200, WAIT_S, "all viewers to be back")

        await fleet.recovers("19 200 viewers are back", 5.0, back)
        site.let_go()
        await fleet.ended(task)
    for viewer in viewers:
        await viewer
    assert max(told) <= 3.0
    assert max(Counter(int(wait / 0.25) for wait in told).values()) < 50, "no moment gets a quarter of them"


@pytest.mark.parametrize("way", [over_socket, over_sse])
async def test_20_an_id_that_is_trimmed_or_ahead_is_told_of_a_gap_and_garbage_refused(
    fleet: FaultyFleet, site: Sites, way: Transport
) -> None:
    habits = Habits(page_s=0.05, logs=20)
    async with _told_by_a_fake(fleet, site, f"ids-{way.__name__}", habits) as (task, _):
        url, events = fleet.stack.urls[0], fleet.keys.events(task)

        async def listen(after: str, many: int) -> list[dict[str, Any]]:
            told = []
            async with contextlib.aclosing(way(fleet.session, url, task, after)) as messages:
                async for message in messages:
                    told.append(message)
                    if len(told) == many:
                        break
            return told

        async def stored() -> list[str]:
            raw: Any = await fleet.redis.xrange(events)
            return [entry.decode() for entry, _ in raw]

        async def enough() -> list[str] | None:
            found = await stored()
            return found if len(found) > 200 else None

        known: Any = await wait_until(enough, WAIT_S, "events")
        told = await listen(known[10], 3)
        assert ([m["type"] for m in told], told[1]["id"]) == (["connected", "log", "log"], known[11])

        await fleet.redis.xtrim(events, minid=known[100], approximate=False)
        told = await listen(known[10], 4)
        assert [message["type"] for message in told[:2]] == ["connected", "gap"]
        assert [message["id"] for message in told[2:]] == known[100:102]
        told = await listen(known[99], 3)
        assert [message["type"] for message in told] == ["connected", "gap", "log"], (
            "it missed what it had not asked for"
        )

        newest = (await stored())[-1]
        told = await listen("9999999999999-0", 3)
        assert [message["type"] for message in told] == ["connected", "gap", "log"]
        assert _position(told[2]["id"]) > _position(newest)
        for garbage in ("garbage", "1-2-3", "-1", "18446744073709551616-0", "0x10-0", "%00"):
            with pytest.raises(aiohttp.ClientResponseError) as refused:
                await listen(garbage, 1)
            assert refused.value.status == 400, garbage


@contextlib.asynccontextmanager
async def _told_by_a_fake(
    fleet: FaultyFleet, site: Sites, name: str, habits: Habits
) -> AsyncIterator[tuple[str, FakeNodes]]:
    """A task that a fake node tells of as ``habits`` say, until the block ends; the real slot is busy meanwhile."""
    site.hold()
    busy = await fleet.submit(f"http://busy-{name}.site.test/", key=f"busy-{name}")
    await fleet.until(busy, lambda state: state["pages"] >= 1, "the real slot to be busy")
    async with FakeNodes(fleet.stack.redis_url, fleet.keys, [f"fake-{name}".replace("_", "-")], habits=habits) as nodes:
        task = await fleet.submit(f"http://{name}.site.test/".replace("_", "-"), key=name)
        await wait_until(lambda: f"{task}.0" in nodes.units, WAIT_S, "the fake node to have the unit")
        yield task, nodes
    site.let_go()
    assert [end["status"] for end in await fleet.ended(task, busy)] == ["completed"] * 2


async def _place(fleet: FaultyFleet, task: str) -> tuple[Any, ...]:
    state = await fleet.status(task)
    return tuple(state[name] for name in ("status", "queue_position", "attempt"))


def _held(replica: psutil.Process, clients: list[RawClient]) -> list[int]:
    """Ports of those clients whose connection the replica still has."""
    known = {connection.raddr.port for connection in replica.net_connections("tcp") if connection.raddr}
    return [client.port for client in clients if client.port in known]


def _position(event: str) -> tuple[int, int]:
    ms, _, seq = event.partition("-")
    return int(ms), int(seq)
