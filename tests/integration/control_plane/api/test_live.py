"""The live view: pictures while somebody looks, of the caller's own task only, and nothing afterwards."""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from control_plane import __main__ as server
from control_plane.streams import frames
from fleet.messages import Frame, Watch
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
    assert not served.services.hub._reader._followed


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
    hub = served.services.hub
    async with hub.viewer("default", task, 60, 5) as viewer:
        (view,) = hub._views.values()
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


async def test_snapshot_and_frames_socket(api: Client, world: World) -> None:
    task = await api.start()
    status, problem, _ = await api.get(f"/api/scraper/snapshot/{task}.jpg")
    assert (status, "no browser works" in problem["detail"]) == (404, True)
    await world.node("n1")
    assert (await api.get(f"/api/scraper/status/{task}"))[1]["status"] == "running"
    await show(world, f"{task}.0", b"from before")
    asked = asyncio.create_task(api.get(f"/api/scraper/snapshot/{task}.jpg"))
    await wait_until(lambda: _has_watch(world), description="the node to be asked for a picture")
    await show(world, f"{task}.0", b"jpeg")
    status, body, headers = await asked
    assert (status, body, headers["Content-Type"]) == (200, b"jpeg", "image/jpeg")
    async with api.ws(f"/api/scraper/ws/frames/{task}") as ws:
        assert (await ws.receive_json())["type"] == "connected"
        caption = orjson.loads((await ws.receive(timeout=5)).data)
        assert (caption["seq"], caption["scroll_y"], caption["bytes"]) == (1, 40.0, 4)
        assert (await ws.receive(timeout=5)).data == b"jpeg"
    assert (await api.get(f"/live_feed/{task}?fps=31"))[0] == 400


async def test_every_newcomer_asks_for_a_picture_of_now(api: Client, served: Served, world: World) -> None:
    await world.node("n1")
    task = await api.start()
    hub = served.services.hub

    async def asked(times: int) -> bool:
        return len(await world.commands("n1", Watch)) == times

    async with hub.viewer("default", task, 60, 5):
        await wait_until(lambda: asked(1), description="the first viewer's picture")
        async with hub.viewer("default", task, 60, 5):
            await wait_until(lambda: asked(2), description="the second viewer's picture")
    assert not hub._views
    async with hub.viewer("default", task, 60, 5):
        await wait_until(lambda: asked(3), description="the picture of one who comes back")


async def test_a_node_that_gives_no_picture_is_said_so_in_time(
    api: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["control_plane.routes.live"], "SNAPSHOT_TIMEOUT_S", 0.1)
    await world.node("n1")
    task = await api.start()
    await show(world, f"{task}.0", b"from before")
    status, problem, headers = await api.get(f"/api/scraper/snapshot/{task}.jpg")
    assert (status, "no picture" in problem["detail"], headers["Retry-After"]) == (503, True, "1")


async def test_a_question_for_heads_only_ends(api: Client, served: Served) -> None:
    task = await api.start()
    for path in (f"/live_feed/{task}", f"/api/scraper/live_feed/{task}", f"/api/scraper/events/{task}"):
        for _ in range(2):  # the connection is good for another
            status, body, _ = await asyncio.wait_for(api.call("HEAD", path), 5)
            assert (status, body) == (200, b"")
    assert not served.services.hub._views
    assert not served.services.hub._topics


async def _has_watch(world: World) -> bool:
    return b"watch" in await watched(world)
