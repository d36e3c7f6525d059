"""Real receivers on loopback, and the senders of as many replicas as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from redis.asyncio import Redis

from control_plane.models import StartRequest, TaskStatus, WebhookStatus
from control_plane.scheduling.queue import TaskQueue
from control_plane.scheduling.room import Room
from control_plane.webhooks.post import Post
from control_plane.webhooks.sender import Sender
from fleet.addresses import Allowance
from fleet.clock import SystemClock
from tests.integration.control_plane.scheduling.world import World
from tests.support import wait_until

ROOT = "r" * 32
QUERY = "key=opens-sesame"

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Asked:
    """One request as the receiver got it."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """``answers`` are statuses for the first requests, ``status`` is for the others; ``held`` keeps answers back until
    it is set."""

    name: str
    port: int = 0
    status: int = 204
    answers: list[int] = field(default_factory=list)
    held: asyncio.Event | None = None
    custom: Answer | None = None
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.name}/hook?{QUERY}"

    @property
    def allowance(self) -> str:
        return f"{self.name}=127.0.0.1:{self.port}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(Asked(request.path_qs, dict(request.headers), await request.read()))
        if self.custom is not None:
            return await self.custom(request)
        if self.held is not None:
            await self.held.wait()
        return web.Response(status=self.answers.pop(0) if self.answers else self.status)


OpenReceiver = Callable[..., Awaitable[Receiver]]


@pytest.fixture
async def open_receiver() -> AsyncIterator[OpenReceiver]:
    """Start receivers, each on a free loopback port."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "hook.test", **options: object) -> Receiver:
            receiver = Receiver(name, **options)  # type: ignore[arg-type]
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", receiver.serve)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            receiver.port = runner.addresses[0][1]
            return receiver

        yield start


@pytest.fixture
async def receiver(open_receiver: OpenReceiver) -> Receiver:
    return await open_receiver()


@dataclass
class Owed:
    """A queue on the test's store, whose tasks end when the test says so, and senders that tell of it."""

    world: World
    queue: TaskQueue
    stack: AsyncExitStack

    def sender(self, *receivers: Receiver) -> Sender:
        """The sender of another replica, which may reach these receivers."""
        allowance = Allowance.parse(",".join(receiver.allowance for receiver in receivers))
        sender = Sender(self.world.scripts, Post(allowance), ROOT, SystemClock())
        self.stack.push_async_callback(sender.aclose)
        return sender

    async def ended(self, receiver: Receiver, tenant: str = "acme") -> str:
        """A task that has ended and owes its receiver a webhook."""
        request = StartRequest(queries=["http://a.test/"], platforms=["website"], webhook_url=receiver.url)
        started = await self.queue.start(tenant, request, None)
        await self.queue.stop(tenant, started.task_id)
        return started.task_id

    async def status(self, task: str) -> TaskStatus:
        return await self.queue.status("acme", task)

    async def webhook(self, task: str) -> WebhookStatus:
        found = (await self.status(task)).webhook
        assert found is not None
        return found

    async def becomes(self, task: str, state: str, attempts: int) -> WebhookStatus:
        """Wait until so many attempts have had an outcome."""

        async def settled() -> WebhookStatus | None:
            found = await self.webhook(task)
            return found if found.attempts >= attempts else None

        found = await wait_until(settled, description=f"attempt {attempts} to be settled")
        assert found.state == state, found
        return found

    async def make_due(self) -> None:
        """Whatever waits for a retry or the end of a claim waits no longer."""
        for line in await self.world.client.zrange(self.world.keys.webhooks(), 0, -1):
            await self.world.due(self.world.keys.webhook_line(*line.decode().split("|")))
        await self.world.due(self.world.keys.webhooks())

    async def left(self) -> list[bytes]:
        """Keys of webhooks that are still in the store."""
        return [key async for key in self.world.client.scan_iter("*:webhook*")]


@pytest.fixture
async def owed(valkey: Redis) -> AsyncIterator[Owed]:
    world = World(valkey)
    async with AsyncExitStack() as stack:
        yield Owed(world, TaskQueue(valkey, world.keys, world.scripts, Room(valkey)), stack)
