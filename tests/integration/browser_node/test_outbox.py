"""The outbox and the heartbeat on a real Valkey: order, retries, back-pressure, the end of a silent store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from browser_node.heartbeat import HeartbeatThread, Liveness
from browser_node.outbox import GROUPS_CAP_BYTES, WAITING_GROUPS, Outbox, OutboxFull
from fleet import connect, messages
from fleet.errors import LeaseLost
from fleet.messages import Batch, Heartbeat, Message, Run, SlotChange, UnitEnd
from fleet.model import SELF_FENCE, Outcome
from leads.model import Lead
from tests.servers import ValkeyServer
from tests.support import wait_until

STREAM = "out"


def order(index: int = 0) -> Run:
    return Run("boot", f"tsk_{'0' * 26}.{index}", 7 + index, 0, "website", "http://a.example/")


class Out:
    """An outbox that runs, and what has arrived of it."""

    def __init__(self, url: str) -> None:
        self.client = connect.command_client(url, name="out")
        self.ended: list[str] = []
        self.outbox = Outbox(self.client, STREAM, lambda unit, _: self.ended.append(unit))


@pytest.fixture
async def out(valkey_server: ValkeyServer, valkey: Redis) -> AsyncIterator[Out]:
    out = Out(valkey_server.url)
    writing = asyncio.create_task(out.outbox.run())
    yield out
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    await out.client.aclose()


async def arrived(valkey: Redis) -> list[Message]:
    return [messages.parse(fields, messages.OUT) for _, fields in await valkey.xrange(STREAM)]


async def test_groups_leave_together_in_order_and_the_end_comes_last(out: Out, valkey: Redis) -> None:
    writer = out.outbox.writer(order())
    writer.put(set={"v:1": "x", "f": "1"}, pages=1, current="http://a.example/1")
    writer.put(results=[Lead(display_name="Café")], set={"f": "2"}, unset=["v:1"], pages=1, left_out=1)
    writer.log("info", "half way", page=2)
    writer.end(Outcome.COMPLETED)
    await out.outbox.flushed()
    said = await arrived(valkey)
    batch, end = said
    assert isinstance(batch, Batch)
    assert isinstance(end, UnitEnd)
    assert (batch.seq, end.seq) == (1, 2)
    assert (batch.set, batch.unset, batch.pages, batch.left_out) == ({"f": "2"}, ["v:1"], 2, 1)
    assert batch.current == "http://a.example/1"
    assert batch.results[0]["display_name"] == "Café"
    assert batch.events[0]["data"]["message"] == "half way"
    assert out.ended == [order().unit]


async def test_large_groups_are_split_between_not_within_and_still_precede_the_end(out: Out, valkey: Redis) -> None:
    writer = out.outbox.writer(order())
    for index in range(6):
        writer.put(set={f"v:{index}": "x" * 100_000})
    out.outbox.send(SlotChange("boot", 0, "broken"))
    writer.end(Outcome.FAILED, "chrome_died")
    await out.outbox.flushed()
    said = await arrived(valkey)
    assert [type(message) for message in said] == [Batch, Batch, Batch, SlotChange, UnitEnd]
    assert [m.seq for m in said if isinstance(m, Batch | UnitEnd)] == [1, 2, 3, 4]


async def test_drained_waits_for_the_store_and_tells_of_a_lost_lease(valkey_server: ValkeyServer) -> None:
    out = Out(valkey_server.url)  # nobody writes
    writer = out.outbox.writer(order())
    for _ in range(WAITING_GROUPS - 1):
        writer.put(pages=1)
    await asyncio.wait_for(writer.drained(), 1)
    writer.put(pages=1)
    waiting = asyncio.create_task(writer.drained())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    writer.abandon("fenced")
    with pytest.raises(LeaseLost, match="fenced"):
        await waiting
    writer.put(pages=1)
    assert not writer.waiting
    await out.client.aclose()


async def test_a_unit_that_never_waits_is_stopped_before_it_fills_the_memory(valkey_server: ValkeyServer) -> None:
    out = Out(valkey_server.url)
    writer = out.outbox.writer(order())
    for index in range(GROUPS_CAP_BYTES // 1_000_000 - 1):
        writer.put(set={str(index): "x" * 1_000_000})
    with pytest.raises(OutboxFull, match=r"drained\(\)"):
        writer.put(set={"last": "x" * 1_000_000})
    await out.client.aclose()


async def test_a_restarted_store_gets_everything_once_in_order(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path / "own")
    server.start()
    out = Out(server.url)
    writing = asyncio.create_task(out.outbox.run())
    try:
        writer = out.outbox.writer(order())
        writer.put(pages=1)
        await out.outbox.flushed()
        server.stop()
        writer.put(pages=1)
        writer.end(Outcome.COMPLETED)
        server.start()
        await asyncio.wait_for(out.outbox.flushed(), 10)
        reader = Redis.from_url(server.url)
        said = await arrived(reader)
        await reader.aclose()
        assert [m.seq for m in said if isinstance(m, Batch | UnitEnd)] == [1, 2, 3]
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await out.client.aclose()
        server.stop()


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


async def test_the_heartbeat_names_what_lives(valkey_server: ValkeyServer, valkey: Redis) -> None:
    liveness = Liveness()
    liveness.add("u.1", 5)
    liveness.add("u.2", 6)
    liveness.remove("u.1", 4)  # an older fence: no effect
    liveness.remove("u.2", 6)
    liveness.seen("7-0")
    thread = HeartbeatThread(
        connect.thread_client(valkey_server.url, name="beat"), STREAM,
        lambda: liveness.message("boot", {"units": 1}), lambda _: None, Hand(),
    )  # fmt: skip
    thread.start()
    await wait_until(lambda: valkey.xlen(STREAM), 5, "a heartbeat")
    await asyncio.to_thread(thread.stop)
    beat = (await arrived(valkey))[0]
    assert isinstance(beat, Heartbeat)
    assert (beat.live, beat.commands_seen, beat.draining) == ({"u.1": 5}, "7-0", False)


async def test_a_silent_store_fences_once_counted_from_the_last_beat_that_was_acknowledged(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path / "own")
    server.start()
    clock, reasons, fenced = Hand(), [], threading.Event()

    def on_fenced(reason: str) -> None:
        reasons.append(reason)
        fenced.set()

    liveness = Liveness()
    thread = HeartbeatThread(
        connect.thread_client(server.url, name="beat"), STREAM,
        lambda: liveness.message("boot", {}), on_fenced, clock,
    )  # fmt: skip
    thread.start()
    reader = Redis.from_url(server.url)
    await wait_until(lambda: reader.xlen(STREAM), 5, "a heartbeat")
    await reader.aclose()
    server.kill()
    clock.now += SELF_FENCE.total_seconds() - 0.1
    assert not fenced.wait(0.5)
    clock.now += 0.2
    assert await asyncio.to_thread(fenced.wait, 10)
    await asyncio.to_thread(thread.stop)
    assert len(reasons) == 1
    assert "15 s" in reasons[0]
