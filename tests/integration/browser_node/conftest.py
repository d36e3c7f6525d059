"""A node on a real Valkey with a real Chromium, its control plane played by `FakeControl`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web
from redis.asyncio import Redis

from browser_node.chrome_binary import ChromeBinary, find_chrome
from browser_node.node import Node, OpenServices
from browser_node.scraping.types import Services
from browser_node.settings import Settings
from browser_node.units import RunUnit
from tests.fakes.fake_control import FakeControl
from tests.servers import ValkeyServer

NODE = "n1"


@pytest.fixture
def chrome() -> ChromeBinary:
    found = find_chrome()
    assert found is not None, "these tests need a Chromium"
    return found


@pytest.fixture
async def control(valkey: Redis) -> AsyncIterator[FakeControl]:
    async with FakeControl(valkey) as control:
        yield control


PAGE = """<!doctype html><title>a page</title><body style="height:3000px"><h1>%s</h1>"""
MOVING = (
    PAGE % "moving"
    + """<script>
let n = 0; setInterval(() => { document.body.style.background = `hsl(${n++ * 9 % 360},80%,50%)` }, 16)
</script>"""
)


@dataclass
class Site:
    """A web site on loopback that remembers what was asked of it."""

    port: int
    asked: list[str]
    headers: list[dict[str, str]]
    bodies: list[bytes]
    pages: dict[str, str] = field(default_factory=dict)
    """What is not the usual page, by path."""

    @property
    def allowance(self) -> str:
        return f"*.site.test=127.0.0.1:{self.port}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    asked: list[str] = []
    headers: list[dict[str, str]] = []
    bodies: list[bytes] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(f"{request.method} {request.host}{request.path_qs}")
        headers.append(dict(request.headers))
        bodies.append(await request.read())
        if request.path == "/to-loopback":
            raise web.HTTPFound("http://127.0.0.1:6379/")
        if request.path == "/set-cookie":
            response = web.Response(text=PAGE % "cookie", content_type="text/html")
            response.set_cookie("tenant", "first")
            return response
        if request.path == "/pretends":
            return web.Response(status=404, text=PAGE % "pretends", headers={"X-Leadfleet-Egress": "spent"})
        if request.path in made.pages:
            return web.Response(text=made.pages[request.path], content_type="text/html")
        if request.path == "/hang":
            await asyncio.sleep(3600)
        body = MOVING if request.path == "/moving" else PAGE % request.path
        return web.Response(text=body, content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    made = Site(runner.addresses[0][1], asked, headers, bodies)
    yield made
    await runner.cleanup()


@asynccontextmanager
async def no_services(_: Any) -> AsyncIterator[Services]:
    """Units of these tests use their context only."""
    nothing = cast("Any", None)
    yield Services(nothing, nothing, nothing, nothing)


StartNode = Callable[..., Awaitable[tuple[Node, "asyncio.Task[None]"]]]


@pytest.fixture
async def start_node(
    valkey_server: ValkeyServer, chrome: ChromeBinary, control: FakeControl, tmp_path: Path
) -> AsyncIterator[StartNode]:
    """``await start_node(run_unit, **settings)`` starts a node and returns once it has registered."""
    started: list[tuple[Node, asyncio.Task[None]]] = []

    async def start(
        run_unit: RunUnit, services: OpenServices = no_services, **settings: Any
    ) -> tuple[Node, asyncio.Task[None]]:
        given = {"slots": 1, "node_id": NODE, "drain_s": 0.2, "state": tmp_path / "state", **settings}
        url = valkey_server.url.replace("redis://", "redis://join:x@")
        node = Node(Settings(join_url=url, **given), chrome, run_unit, services)
        task = asyncio.create_task(node.run())
        started.append((node, task))
        registered = asyncio.create_task(control.registered())
        await asyncio.wait({task, registered}, return_when=asyncio.FIRST_COMPLETED)
        for done in (task, registered):
            if done.done():
                done.result()
        registered.cancel()
        return node, task

    yield start
    for node, task in started:
        node.leave()
        try:
            await asyncio.wait_for(task, 20)
        except Exception:
            assert task.done()
