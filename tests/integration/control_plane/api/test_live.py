"""The live view: pictures while somebody looks, of the caller's own task only, and nothing afterwards."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import AsyncMock

import orjson
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from control_plane import __main__ as server
from control_plane.streams import frames, mjpeg, takeover
from fleet.messages import Frame
from tests.integration.control_plane.api.conftest import KEY, Client, Served
from tests.integration.control_plane.scheduling.world import World
from tests.support import wait_until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "STAGE_CHECK_S", 0.02)


async def show(world: World, unit: str, jpeg: bytes, seq: int = 1, node: str = "n1") -> None:
    """Publish a picture of slot 0 as a node does."""
    frame = Frame("boot", unit, "tab-1", seq, 1_700_000_000_000_000, 1280, 720, 0.0, 40.0, jpeg)
    await world.client.xadd(world.keys.frames(node, "0"), frame.to_fields(), maxlen=1, approximate=False)


async def watched(world: World) -> list[bytes]:
    """Kinds of the commands the node was sent."""
    return [fields[b"k"] for _, fields in await world.client.xrange(world.keys.commands("n1"))]


async def part(content: Any) -> bytes:
    """The JPEG of the next part."""
    assert await content.readline() == b"--frame\r\n"
    head = {}
    while (line := await content.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        head[name.lower()] = value.strip()
    jpeg: bytes = await content.readexactly(int(head[b"content-length"]))
    assert await content.readexactly(2) == b"\r\n"
    return jpeg


async def test_mjpeg_goes_on_while_nobody_can_say_whether_the_key_is_good(
    api: Client, served: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's ``<img>`` does not come back by itself."""
    monkeypatch.setattr(mjpeg, "REVOCATION_CHECK_S", 0.0)
    await world.node("n1")
    task = await api.start()
    async with api.session.get(f"{served.url}/live_feed/{task}?fps=30", headers=api.headers) as answer:
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
        lost = AsyncMock(side_effect=RedisConnectionError("the store is away"))
        monkeypatch.setattr(served.services.ring, "by_id", lost)
        for number in range(3):
            await show(world, f"{task}.0", b"picture %d" % number, seq=number + 1)
            assert await part(answer.content) == b"picture %d" % number
    assert lost.await_count


@pytest.mark.parametrize("path", ["/live_feed", "/api/scraper/live_feed"])
async def test_mjpeg_moves_and_ends_with_its_viewer(api: Client, served: Served, world: World, path: str) -> None:
    await world.node("n1")
    task = await api.start()
    url = f"{served.url}{path}/{task}?fps=30"
    async with api.session.get(url, headers=api.headers) as answer:
        assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
        for number in range(3):
            await show(world, f"{task}.0", b"picture %d" % number, seq=number + 1)
            assert await part(answer.content) == b"picture %d" % number
        assert len(served.services.hub._views) == 1
    await wait_until(lambda: not served.services.hub._views, description="the watch to end with its viewer")
    assert not served.services.hub._readers.pictures._followed


@pytest.mark.parametrize(("origin", "allowed"), [("http://localhost:3000", True), ("http://elsewhere.test", False)])
async def test_each_part_says_which_origin_may_read_it(
    api: Client, served: Served, world: World, origin: str, allowed: bool
) -> None:
    await world.node("n1")
    task = await api.start()
    headers = api.headers | {"Origin": origin}
    async with api.session.get(f"{served.url}/live_feed/{task}?fps=30", headers=headers) as answer:
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
        await show(world, f"{task}.0", b"picture")
        head = await answer.content.readuntil(b"\r\n\r\n")
        assert await answer.content.readexactly(7) == b"picture"
    named = f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n".encode()
    assert (named in head) is allowed
    assert (b"Access-Control" in head) is allowed


async def test_a_viewer_never_sees_what_the_slot_does_for_others(api: Client, served: Served, world: World) -> None:
    await world.node("n1")
    task = await api.start()
    other = "tsk_" + "0" * 26
    async with api.session.get(f"{served.url}/live_feed/{task}?fps=30", headers=api.headers) as answer:
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
        await show(world, f"{other}.0", b"somebody else's", seq=1)
        await show(world, "nonsense", b"broken", seq=2)
        await show(world, f"{task}.0", b"mine", seq=3)
        assert await part(answer.content) == b"mine"


async def test_a_slow_viewer_gets_the_newest_picture(api: Client, served: Served, world: World) -> None:
    await world.node("n1")
    task = await api.start()
    async with served.services.hub.viewer("default", task, 60, 5) as viewer:
        view = served.services.hub._views[task]
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
        for number in range(10):
            await show(world, f"{task}.0", b"%d" % number, seq=number + 1)
            await wait_until(lambda n=number: view.count == n + 1, description="the frame to arrive")
        picture = await viewer.next()
        assert picture is not None
        assert picture.frame.jpeg == b"9"
        await show(world, f"{task}.0", b"last", seq=11)
        picture = await viewer.next()
        assert picture is not None
        assert picture.frame.jpeg == b"last"


async def test_a_viewer_that_never_reads_is_cut(
    open_replica: Callable[..., Awaitable[Served]], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SEND_STALL_MS", 500)
    served = await open_replica()
    await world.node("n1")
    task = await served.client().start()
    host, port = served.url.removeprefix("http://").split(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect((host, int(port)))
        request = f"GET /live_feed/{task}?fps=30 HTTP/1.1\r\nHost: {host}:{port}\r\nX-API-Key: {KEY}\r\n\r\n"
        deaf.sendall(request.encode())
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
        views, seq = served.services.hub._views, itertools.count(1)

        async def cut() -> bool:
            await show(world, f"{task}.0", b"x" * 200_000, seq=next(seq))
            return not views

        await wait_until(cut, description="the viewer to be cut while it holds its socket open")


async def test_a_snapshot_is_never_a_picture_from_before(api: Client, served: Served, world: World) -> None:
    await world.node("n1")
    task = await api.start()
    await show(world, f"{task}.0", b"before", seq=1)
    first = asyncio.create_task(api.get(f"/api/scraper/snapshot/{task}.jpg"))
    await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
    assert not first.done()
    await show(world, f"{task}.0", b"now", seq=2)
    status, body, headers = await first
    assert (status, body, headers["Content-Type"]) == (200, b"now", "image/jpeg")
    await wait_until(lambda: not served.services.hub._views, description="the watch to end with the answer")

    # Neither is it one that another viewer was shown; the node is asked at once, not with the next renewal.
    async with served.services.hub.viewer("default", task, 60, 30) as viewer:
        await wait_until(lambda: _watches(world, 2), description="the node to be asked for frames")
        await show(world, f"{task}.0", b"shown", seq=3)
        assert await viewer.next(timeout=5) is not None
        second = asyncio.create_task(api.get(f"/api/scraper/snapshot/{task}.jpg"))
        await wait_until(lambda: _watches(world, 3), 2, "the node to be asked again")
        assert not second.done()
        await show(world, f"{task}.0", b"new", seq=4)
        assert (await second)[1] == b"new"


async def test_a_snapshot_says_why_there_is_none_and_leaves_nothing_behind(
    api: Client, served: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.import_module("control_plane.routes.live"), "SNAPSHOT_TIMEOUT_S", 0.1)
    task = await api.start()
    path = f"/api/scraper/snapshot/{task}.jpg"
    status, problem, headers = await api.get(path)
    assert (status, "no browser works" in problem["detail"], headers["Retry-After"]) == (404, True, "2")
    await world.node("n1")
    assert (await api.get(f"/api/scraper/status/{task}"))[1]["status"] == "running"
    status, problem, headers = await api.get(path)
    assert (status, "sent no picture" in problem["detail"], headers["Retry-After"]) == (503, True, "2")
    await world.end("n1", await world.run("n1"))
    status, problem, headers = await api.get(path)
    assert (status, "is completed" in problem["detail"], "Retry-After" in headers) == (404, True, False)
    await wait_until(lambda: not served.services.hub._views, description="no view to be left")


async def test_the_last_viewer_waits_for_nothing_and_the_watch_ends_without_being_cancelled(
    api: Client, served: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "STAGE_CHECK_S", 3600)  # whoever leaves ends this wait
    await world.node("n1")
    task = await api.start()
    queue, stage = served.services.queue, served.services.queue.stage
    asked, answer, cancelled = asyncio.Event(), asyncio.Event(), []

    async def slow(tenant: str, name: str) -> Any:
        """A store that answers when the test says so; a cancellation is lost, as redis-py loses them."""
        asked.set()
        while not answer.is_set():
            try:
                await answer.wait()
            except asyncio.CancelledError:
                cancelled.append(name)
        return await stage(tenant, name)

    monkeypatch.setattr(queue, "stage", slow)
    hub = served.services.hub
    async with asyncio.timeout(5):
        async with hub.viewer("default", task, 60, 10):
            await asked.wait()
            keeper = hub._views[task]._keeper
            assert keeper is not None
    answer.set()
    await wait_until(keeper.done, 5, "the keeper to end")
    assert (keeper.exception(), cancelled, hub._views, hub._readers.pictures._followed) == (None, [], {}, {})
    assert not await _has_watch(world)  # nobody looked any more when the slot was found

    async with hub.viewer("default", task, 60, 10):
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
        assert 0 < await world.client.ttl(world.keys.watch(task)) <= 15
    await wait_until(lambda: not hub._views, 5, "the watch to end at once")


async def test_a_viewer_who_comes_while_the_last_one_goes_is_shown_pictures(
    api: Client, served: Served, world: World
) -> None:
    await world.node("n1")
    task = await api.start()
    hub = served.services.hub
    async with hub.viewer("default", task, 60, 30):
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
    async with hub.viewer("default", task, 60, 30) as viewer:
        await wait_until(lambda: _watches(world, 2), 2, "the node to be asked for frames again")
        await show(world, f"{task}.0", b"mine")
        picture = await viewer.next(timeout=5)
        assert picture is not None
        assert picture.frame.jpeg == b"mine"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/live_feed/{}", "multipart/x-mixed-replace"),
        ("/api/scraper/live_feed/{}", "multipart/x-mixed-replace"),
        ("/api/scraper/events/{}", "text/event-stream"),
    ],
)
async def test_head_of_a_stream_ends_and_the_connection_goes_on(
    api: Client, served: Served, world: World, path: str, kind: str
) -> None:
    await world.node("n1")
    task = await api.start()
    host, port = served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for method, name in (("HEAD", path.format(task)), ("GET", "/health/live")):
        writer.write(f"{method} {name} HTTP/1.1\r\nHost: {host}:{port}\r\nX-API-Key: {KEY}\r\n\r\n".encode())
        async with asyncio.timeout(5):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200")
        assert method == "GET" or f"content-type: {kind}" in head
        assert method == "GET" or "content-length" not in head
    writer.close()
    assert not served.services.hub._views
    assert not served.services.hub._topics


async def test_inputs_that_come_faster_than_a_hand_end_the_control(api: Client, world: World) -> None:
    """They share a node's commands with everybody whose units run there."""
    await world.node("n1")
    task = await api.start()
    async with api.ws(f"/api/scraper/ws/control/{task}") as ws:
        await ws.receive_json(timeout=5)
        move = orjson.dumps({"type": "pointer", "event": "move", "x": 0.5, "y": 0.5}).decode()
        for _ in range(100):
            await ws.send_str(move)
        await wait_until(lambda: _has_inputs(world, 100), description="a quick hand to be passed on at once")
        text = orjson.dumps({"type": "text", "text": "x" * takeover.MAX_TEXT}).decode()
        for _ in range(100):
            await ws.send_str(text)
        assert (await ws.receive(timeout=5)).extra == "inputs come faster than a hand makes them, 200 a second"
        assert ws.close_code == 1008
    assert not await _has_inputs(world, 100 + 50)
    async with api.ws(f"/api/scraper/ws/control/{task}") as ws:
        assert (await ws.receive_json(timeout=5))["type"] == "connected"


async def _has_inputs(world: World, count: int) -> bool:
    return (await watched(world)).count(b"input") >= count


async def test_frames_socket(api: Client, world: World) -> None:
    await world.node("n1")
    task = await api.start()
    async with api.ws(f"/api/scraper/ws/frames/{task}") as ws:
        assert (await ws.receive_json())["type"] == "connected"
        await wait_until(lambda: _has_watch(world), description="the node to be asked for frames")
        await show(world, f"{task}.0", b"jpeg")
        caption = orjson.loads((await ws.receive(timeout=5)).data)
        assert (caption["seq"], caption["scroll_y"], caption["bytes"]) == (1, 40.0, 4)
        assert (await ws.receive(timeout=5)).data == b"jpeg"
    assert (await api.get(f"/live_feed/{task}?fps=31"))[0] == 400


async def _has_watch(world: World) -> bool:
    return await _watches(world, 1)


async def _watches(world: World, least: int) -> bool:
    return (await watched(world)).count(b"watch") >= least
