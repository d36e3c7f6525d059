"""Events over WebSocket and SSE: resumed without a hole, bounded, ended when they must."""

from __future__ import annotations

import asyncio
import socket as sockets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import aiohttp
import orjson
import pytest

from control_plane import keyring
from control_plane.streams import hub, websockets
from control_plane.streams.events import Extent
from fleet.connect import command_client
from tests.integration.control_plane.api.conftest import Client, Served
from tests.integration.control_plane.scheduling.world import World
from tests.servers import ValkeyServer
from tests.support import wait_until


async def tell(world: World, task: str, *messages: str, kind: str = "log") -> list[str]:
    """Append events as ingest does; their ids."""
    entries = []
    for message in messages:
        data = orjson.dumps({"level": "info", "message": message})
        entries.append((await world.client.xadd(world.keys.events(task), {"k": kind, "d": data})).decode())
    return entries


async def listen(ws: aiohttp.ClientWebSocketResponse, count: int) -> list[dict]:
    return [await ws.receive_json(timeout=5) for _ in range(count)]


async def test_every_message_comes_once_and_in_order_over_reconnections(api: Client, world: World) -> None:
    task = await api.start()
    written = [f"m{n}" for n in range(600)]
    writing = asyncio.create_task(tell(world, task, *written))
    seen: list[str] = []
    last = ""
    while len(seen) < len(written) + 1:
        async with api.ws(f"/api/scraper/ws/logs/{task}?last_event_id={last}") as ws:
            assert (await ws.receive_json())["type"] == "connected"
            for message in await listen(ws, min(150, len(written) + 1 - len(seen))):
                seen.append(message["message"])
                last = message["id"]
    await writing
    assert seen == ["Queued 1 unit", *written]


async def test_each_socket_carries_its_kinds(api: Client, world: World) -> None:
    task = await api.start()
    await tell(world, task, "found", kind="result")
    await tell(world, task, "box", kind="coordinates")
    await api.post(f"/api/scraper/stop/{task}")
    kinds = {}
    for channel in ("logs", "results", "events"):
        async with api.ws(f"/api/scraper/ws/{channel}/{task}") as ws:
            count = {"logs": 1, "results": 2, "events": 4}[channel]
            kinds[channel] = [message["type"] for message in (await listen(ws, count + 1))[1:]]
    assert kinds == {
        "logs": ["log"],
        "results": ["result", "task_stopped"],
        "events": ["log", "result", "coordinates", "task_stopped"],
    }


async def test_a_client_that_asks_for_batches_gets_arrays_without_a_hole(
    api: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "QUEUE", 40)  # more than this comes within one batch, and is read from the store
    task = await api.start()
    first = (await tell(world, task, *(f"m{n}" for n in range(30))))[-1]
    path = f"/api/scraper/ws/logs/{task}?batch_ms=50&last_event_id={first}"
    written = [f"n{n}" for n in range(300)]
    async with api.ws(path) as ws:
        assert (await ws.receive_json(timeout=5))["type"] == "connected"
        writing = asyncio.create_task(tell(world, task, *written))
        batches: list[list[dict]] = []
        while sum(map(len, batches)) < len(written):
            batches.append(await ws.receive_json(timeout=5))
        await writing
        await ws.send_str("ping")
        assert (await ws.receive_json(timeout=5))["type"] == "pong"
    assert [event["message"] for batch in batches for event in batch] == written
    assert max(map(len, batches)) > 1
    resumed = batches[0][-1]["id"]
    async with api.ws(f"/api/scraper/ws/logs/{task}?batch_ms=50&last_event_id={resumed}") as ws:
        await ws.receive_json(timeout=5)
        assert (await ws.receive_json(timeout=5))[0]["message"] == written[len(batches[0])]
    for garbage in ("-1", "x", "5001"):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.ws(f"/api/scraper/ws/logs/{task}?batch_ms={garbage}")
        assert refused.value.status == 400


async def test_server_sent_batches_carry_the_id_of_their_last_event(api: Client, world: World) -> None:
    task = await api.start()
    ids = await tell(world, task, "a", "b")
    url = f"{api.url}/api/scraper/events/{task}?batch_ms=10"
    async with api.session.get(url, headers=api.headers) as stream:
        while not (line := (await stream.content.readline()).decode().strip()).startswith("id: "):
            assert not line.startswith("data: ")
        assert line == f"id: {ids[-1]}"
        data = orjson.loads((await stream.content.readline()).removeprefix(b"data: "))
        assert [event["message"] for event in data] == ["Queued 1 unit", "a", "b"]


async def test_a_position_that_is_gone_is_one_gap(api: Client, world: World) -> None:
    task = await api.start()
    ids = await tell(world, task, *"abcdef")
    await world.client.xtrim(world.keys.events(task), maxlen=2, approximate=False)
    async with api.ws(f"/api/scraper/ws/logs/{task}?last_event_id={ids[1]}") as ws:
        _, gap, fifth, sixth = await listen(ws, 4)
    assert gap["type"] == "gap"
    assert (fifth["message"], sixth["message"]) == ("e", "f")
    async with api.ws(f"/api/scraper/ws/logs/{task}?last_event_id=9999999999999-0") as ws:
        _, gap = await listen(ws, 2)
        assert gap["type"] == "gap"
        await tell(world, task, "after")
        assert (await ws.receive_json(timeout=5))["message"] == "after"
    for garbage in ("x", "1-2-3", "-1", "1" * 40):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await api.ws(f"/api/scraper/ws/logs/{task}?last_event_id={garbage}")
        assert refused.value.status == 400


async def test_ping_gets_pong_and_a_huge_message_ends_the_socket(api: Client) -> None:
    task = await api.start()
    async with api.ws(f"/api/scraper/ws/progress/{task}") as ws:
        await ws.send_str("ping")
        assert [message["type"] for message in await listen(ws, 2)] == ["connected", "pong"]
        await ws.send_str("x" * 200_000)
        message = await ws.receive(timeout=5)
        assert message.type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
        assert ws.close_code == 1009


async def test_a_client_that_falls_behind_reads_on_from_the_store(
    api: Client, served: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "QUEUE", 4)
    task = await api.start()
    tail, _ = await served.services.hub.tail(task, None, frozenset({"log"}))
    try:
        got = [event.data["message"] for event in await tail.next()]
        written = [f"m{n}" for n in range(50)]
        await tell(world, task, *written[:25])
        await wait_until(lambda: tail._behind, description="the live queue to overflow")
        while len(got) < 26:
            got += [event.data["message"] for event in await tail.next(timeout=5)]
        await tell(world, task, *written[25:])
        while len(got) < 51:
            got += [event.data["message"] for event in await tail.next(timeout=5)]
        assert got == ["Queued 1 unit", *written]
        assert len(tail._queue) <= 4
    finally:
        tail.close()


async def test_a_client_that_never_reads_is_cut_and_the_others_go_on(
    api: Client, served: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websockets, "WRITE_TIMEOUT_S", 0.5)
    task = await api.start()
    host, port = served.url.removeprefix("http://").split(":")
    deaf = sockets.socket()
    deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    deaf.connect((host, int(port)))
    deaf.sendall(
        f"GET /api/scraper/ws/logs/{task} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n"
        f"Authorization: {api.headers['Authorization']}\r\n\r\n".encode()
    )
    topics = served.services.hub._topics
    await wait_until(lambda: topics, description="the deaf client to be served")
    async with api.ws(f"/api/scraper/ws/logs/{task}") as ws:
        written = [f"{n}" + "x" * 20_000 for n in range(100)]
        await tell(world, task, *written)
        heard = [message["message"] for message in (await listen(ws, 102))[2:]]
        assert heard == written
        await wait_until(lambda: len(next(iter(topics.values())).tails) == 1, description="the deaf client to be cut")
    deaf.close()
    await wait_until(lambda: not topics, description="nobody to be followed any more")


async def test_a_revoked_key_ends_its_streams(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websockets, "REVOCATION_CHECK_S", 0.05)
    made = await served.services.ring.create("acme", "short-lived", {"tasks:write", "streams:read"})
    client = served.client(made.key)
    task = await client.start()
    async with client.ws(f"/api/scraper/ws/progress/{task}") as ws:
        await ws.receive_json()
        await served.services.ring.revoke("acme", made.key_id)
        assert (await ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == 1008


async def test_a_replica_that_stops_sends_its_clients_away(api: Client, served: Served) -> None:
    task = await api.start()
    async with api.ws(f"/api/scraper/ws/progress/{task}") as ws:
        await ws.receive_json()
        served.services.hub.stop()
        assert (await ws.receive(timeout=5)).type is aiohttp.WSMsgType.CLOSE
        assert ws.close_code == 1012


async def test_a_client_that_came_just_before_the_store_was_set_back_is_sent_away_too(
    api: Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was told of its place may be of the store from before."""
    replica, task = served.services.hub, await api.start()
    look = replica._extent

    async def look_and_lose(key: str, asked: tuple[int, int] | None) -> Extent | None:
        found = await look(key, asked)
        replica.restart()
        return found

    monkeypatch.setattr(replica, "_extent", look_and_lose)
    async with api.ws(f"/api/scraper/ws/logs/{task}") as ws:
        async with asyncio.timeout(10):
            while not ws.closed:
                await ws.receive()
        assert ws.close_code == 1012


async def test_server_sent_events_resume_too(api: Client, served: Served, world: World) -> None:
    task = await api.start()
    ids = await tell(world, task, "a", "b")
    headers = api.headers | {"Last-Event-ID": ids[0]}
    url = f"{served.url}/api/scraper/events/{task}"
    async with api.session.get(url, headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        assert (await answer.content.readline()).startswith(b"retry: ")
        await answer.content.readline()
        assert await answer.content.readline() == f"id: {ids[1]}\n".encode()
        message = orjson.loads((await answer.content.readline()).removeprefix(b"data: "))
        assert (message["type"], message["message"]) == ("log", "b")
        await tell(world, task, "c")
        lines = [await answer.content.readline() for _ in range(3)]
        assert b'"message":"c"' in lines[2]
    await wait_until(lambda: not served.services.hub._topics, description="the tail to be closed")
    assert (await api.get(f"/api/scraper/events/{task}?last_event_id=zz"))[0] == 400


async def test_two_replicas_serve_the_same_stream(open_replica: Callable[..., Awaitable[Served]], world: World) -> None:
    first, second = (await open_replica()).client(), (await open_replica()).client()
    task = await first.start()
    async with first.ws(f"/api/scraper/ws/logs/{task}") as one:
        last = (await listen(one, 2))[1]["id"]
        async with second.ws(f"/api/scraper/ws/logs/{task}?last_event_id={last}") as two:
            await two.receive_json()
            await tell(world, task, "to both")
            assert (await one.receive_json(timeout=5)) == (await two.receive_json(timeout=5))


async def test_a_stream_goes_on_when_the_store_is_back(
    open_replica: Callable[..., Awaitable[Served]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websockets, "REVOCATION_CHECK_S", 0.01)  # the key is looked for while the store is away
    monkeypatch.setattr(keyring, "CACHE", timedelta())
    store = ValkeyServer(tmp_path)
    store.start()
    client = command_client(store.url, name="test")
    try:
        api = (await open_replica(redis_url=store.url)).client()
        world = World(client)
        task = await api.start()
        async with api.ws(f"/api/scraper/ws/logs/{task}") as ws:
            await listen(ws, 2)
            store.kill()
            await asyncio.to_thread(store.start)
            await tell(world, task, "still there")
            assert (await ws.receive_json(timeout=10))["message"] == "still there"
    finally:
        await client.aclose()
        store.stop()


async def test_phone_boxes_of_the_newest_events(api: Client, world: World) -> None:
    task = await api.start()
    box = {"phone": "+49 30 1", "selector": "#p", "coordinates": {"x": 0.1}}
    data = orjson.dumps({"unit": f"{task}.0", "boxes": [box]})
    await world.client.xadd(world.keys.events(task), {"k": "coordinates", "d": data})
    path = f"/api/scraper/phone-coordinates/{task}"
    assert (await api.get(f"{path}?selector=%23p"))[1]["coordinates"] == {"x": 0.1}
    assert (await api.get(f"{path}?selector=nothing"))[1]["coordinates"] is None
    assert (await api.get(path))[1]["phones"] == [box]
