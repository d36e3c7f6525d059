"""A replica that is asked for more than it can answer says so to whoever asks too much, and serves the others."""

from __future__ import annotations

import asyncio
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
from tests.integration.control_plane.api.conftest import KEY, START_TIMEOUT_S, Client, lists_tasks, responds
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

    def ask(self, key: str, path: str = "/api/tasks/queue/status") -> None:
        """For the queue's state, so that the store is asked as well."""
        head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n\r\n"
        self.writer.write(head.encode())

    def send_too_much(self, key: str) -> None:
        """Say that a body comes that is larger than one may be."""
        head = f"POST /api/scraper/start HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\n"
        self.writer.write(f"{head}Content-Length: 9999999\r\n\r\n".encode())

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
        async with askers(port, FLOOD) as flood, askers(port, OTHERS) as others, askers(port, 2) as apart:
            os.kill(process.pid, signal.SIGSTOP)  # so that all of it arrives at one moment
            await wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
            for asker in flood:
                asker.ask(KEY)
            for asker in others:
                asker.ask(other["key"])
            apart[0].ask(KEY, f"/api/scraper/events/{UNKNOWN}")
            apart[1].send_too_much(KEY)
            os.kill(process.pid, signal.SIGCONT)
            answers = Counter(await asyncio.gather(*(asker.answer() for asker in flood)))
            assert [await asker.answer() for asker in others] == [(200, False)] * OTHERS
            assert await apart[0].answer() == (404, False)  # the flood of its own key did not keep it out
            assert await apart[1].answer() == (413, False)  # that needs no turn
        assert set(answers) == {(200, False), (429, True)}
        assert answers[200, False] >= WAITING_EACH
        metrics = (await client.get("/metrics"))[1].decode()
        assert f"leadfleet_http_requests_refused_total {answers[429, True]}.0" in metrics
        assert "leadfleet_http_requests_waiting 0.0" in metrics
        assert (await client.get("/api/tasks/queue/status"))[0] == 200
    process.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, b"Traceback" in log) == (0, False), log.decode()
