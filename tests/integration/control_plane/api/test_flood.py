"""A replica that is asked for more than it can answer says so to whoever asks too much, and serves the others."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from redis.asyncio import Redis

from control_plane.turnstile import WAITING_EACH
from control_plane.web import MAX_BODY
from tests.integration.control_plane.api.conftest import KEY, START_TIMEOUT_S, Client, Served, lists_tasks, responds
from tests.integration.control_plane.conftest import Start
from tests.servers import ValkeyServer
from tests.support import free_port, wait_until

FLOOD = 2 * WAITING_EACH
OTHERS = 5
UNKNOWN = "tsk_" + "0" * 26


@dataclass
class Asker:
    """A connection that is open before it asks."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(self, key: str) -> None:
        """For the queue's state, so that the store is asked as well."""
        head = f"GET /api/tasks/queue/status HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n\r\n"
        self.writer.write(head.encode())

    async def answer(self) -> tuple[int, bool]:
        """``(status, whether it says when to come again)``."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        return int(head.split(" ", 2)[1]), "\r\nretry-after: " in head


@asynccontextmanager
async def askers(port: int, number: int) -> AsyncIterator[list[Asker]]:
    async with AsyncExitStack() as opened:
        made = []
        for _ in range(number):
            asker = Asker(*await asyncio.open_connection("127.0.0.1", port))
            opened.callback(asker.writer.close)
            made.append(asker)
        yield made


async def test_a_flood_is_told_to_wait_and_others_are_served(
    start: Start, valkey: Redis, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    port = free_port()
    process = await start(
        redis_url=valkey_server.url, bind=f"127.0.0.1:{port}", bootstrap_key=KEY, fleet="flood", state=str(tmp_path),
        log_level="warning",
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        client = Client(session, url, KEY)
        await wait_until(lambda: responds(session, url), timeout=START_TIMEOUT_S)
        await wait_until(lambda: lists_tasks(client), description="the bootstrap key to be stored")
        status, other, _ = await client.post(
            "/api/auth/keys", {"tenant": "other", "name": "b", "scopes": ["tasks:read"]}
        )
        assert status == 201
        async with askers(port, FLOOD) as flood, askers(port, OTHERS) as others:
            os.kill(process.pid, signal.SIGSTOP)  # so that all of it arrives at one moment
            await wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
            for asker in flood:
                asker.ask(KEY)
            for asker in others:
                asker.ask(other["key"])
            os.kill(process.pid, signal.SIGCONT)
            answers = Counter(await asyncio.gather(*(asker.answer() for asker in flood)))
            assert [await asker.answer() for asker in others] == [(200, False)] * OTHERS
        assert set(answers) == {(200, False), (429, True)}
        assert answers[200, False] >= WAITING_EACH
        metrics = (await client.get("/metrics"))[1].decode()
        assert f"leadfleet_http_requests_refused_total {answers[429, True]}.0" in metrics
        assert "leadfleet_http_requests_waiting 0.0" in metrics
        assert (await client.get("/api/tasks/queue/status"))[0] == 200
    process.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, b"Traceback" in log) == (0, False), log.decode()


async def test_a_full_line_of_calls_keeps_no_viewer_out_and_takes_no_body_in(api: Client, served: Served) -> None:
    turnstile, key = served.services.turnstile, api.headers["Authorization"]
    turnstile._open = False  # as if the loop's turn took for ever
    line = [asyncio.create_task(turnstile.enter((key, False))) for _ in range(WAITING_EACH)]
    try:
        await wait_until(lambda: turnstile._waiting == WAITING_EACH)
        async with asyncio.timeout(10):
            assert (await api.get("/api/tasks"))[0] == 429
            assert (await api.post("/api/scraper/start", data=io.BytesIO(b"x" * (MAX_BODY + 1))))[0] == 413
        viewer = asyncio.create_task(api.get(f"/api/scraper/events/{UNKNOWN}"))
        await wait_until(lambda: turnstile._waiting == WAITING_EACH + 1 or viewer.done())
    finally:
        turnstile._turn(1)
    assert (await viewer)[0] == 404
    await asyncio.gather(*line)
