"""The API on a real Hypercorn and a real Valkey, and a fleet of nodes that the test speaks for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import orjson
import pytest
from hypercorn.asyncio import serve
from redis.asyncio import Redis

from control_plane.__main__ import listen, server_config
from control_plane.app import create_app
from control_plane.services import EXTENSION, Services
from control_plane.settings import Settings
from tests.integration.control_plane.scheduling.world import World
from tests.servers import ValkeyServer
from tests.support import wait_until

KEY = "lfk_" + "k" * 43
START_TIMEOUT_S = 60  # imports take a second on an idle machine
ALLOWED_ORIGIN = "http://localhost:3000"


class Client:
    """Calls with one API key; answers as ``(status, JSON, headers)``."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str | None) -> None:
        self.session, self.url = session, url
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def call(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> tuple[int, Any, Any]:
        json_body = {"Content-Type": "application/json"} if "data" in options else {}
        merged = self.headers | json_body | (headers or {})
        async with self.session.request(
            method, self.url + path, headers=merged, allow_redirects=False, **options
        ) as answer:
            raw = await answer.read()
            body = orjson.loads(raw) if "json" in answer.content_type else raw
            return answer.status, body, answer.headers

    async def get(self, path: str, **options: Any) -> tuple[int, Any, Any]:
        return await self.call("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> tuple[int, Any, Any]:
        if json is not None:
            options["data"] = orjson.dumps(json)
        return await self.call("POST", path, **options)

    async def start(self, *queries: str, **fields: Any) -> str:
        status, body, _ = await self.post(
            "/api/scraper/start", {"queries": list(queries or ["http://a.town.test/"]), **fields}
        )
        assert status == 200, body
        task: str = body["task_id"]
        return task

    def ws(self, path: str, **options: Any) -> Any:
        return self.session.ws_connect(self.url + path, headers=self.headers | options.pop("headers", {}), **options)


class Served:
    """A running replica."""

    def __init__(self, url: str, services: Services, session: aiohttp.ClientSession) -> None:
        self.url, self.services, self._session = url, services, session

    def client(self, key: str | None = KEY) -> Client:
        return Client(self._session, self.url, key)

    async def key(self, tenant: str = "default", *scopes: str) -> str:
        """A new API key."""
        made = await self.services.ring.create(tenant, "test", scopes or {"tasks:read", "tasks:write"})
        return made.key


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Served]:
    """One replica, without background roles: the test plays the nodes and applies what they say itself."""
    app = create_app(settings, background=False)
    stop = asyncio.Event()
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = server_config(listening)
    config.graceful_timeout = 0.2

    async def until_stopped() -> None:
        await stop.wait()
        app.extensions[EXTENSION].hub.stop()

    server = asyncio.create_task(serve(app, config, shutdown_trigger=until_stopped))
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        try:
            await wait_until(lambda: responds(session, url), description="the API to answer")
            yield Served(url, app.extensions[EXTENSION], session)
        finally:
            stop.set()
            await server


async def lists_tasks(client: Client) -> bool:
    return (await client.get("/api/tasks"))[0] == 200


async def responds(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health/live") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


@pytest.fixture
def settings(valkey: Redis, valkey_server: ValkeyServer) -> Callable[..., Settings]:
    """Settings of a replica on the test's Valkey."""

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "redis_url": valkey_server.url,
            "fleet": "test",
            "bootstrap_key": KEY,
            "secret": "s" * 32,
            "egress_allow": "*.town.test=127.0.0.1:8123",
            "replica": "r-" + secrets.token_hex(4),
        }
        return Settings(**(values | changes))

    return make


@pytest.fixture
async def open_replica(
    settings: Callable[..., Settings],
) -> AsyncIterator[Callable[..., Awaitable[Served]]]:
    """Start replicas with settings of their own."""
    async with AsyncExitStack() as stack:

        async def start(**changes: Any) -> Served:
            return await stack.enter_async_context(serving(settings(**changes)))

        yield start


@pytest.fixture
async def served(open_replica: Callable[..., Awaitable[Served]]) -> Served:
    return await open_replica()


@pytest.fixture
def api(served: Served) -> Client:
    """A client with the bootstrap key."""
    return served.client()


@pytest.fixture
def world(valkey: Redis) -> World:
    """The nodes."""
    return World(valkey)
