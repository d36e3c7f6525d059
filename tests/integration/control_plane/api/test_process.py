"""The process: starts, serves, stops when told, and tells no secret."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import aiohttp
import psutil
import pytest
from redis.asyncio import Redis

from tests.integration.control_plane.api.conftest import KEY, START_TIMEOUT_S, Client, lists_tasks, responds
from tests.integration.control_plane.conftest import Start
from tests.servers import ValkeyServer
from tests.support import free_port, wait_until


async def test_it_serves_until_told_and_its_log_holds_no_secret(
    start: Start, valkey: Redis, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    bind = f"127.0.0.1:{free_port()}"
    process = await start(
        redis_url=valkey_server.url, bind=bind, bootstrap_key=KEY, fleet="process", state=str(tmp_path),
        log_level="debug",
    )  # fmt: skip
    url = f"http://{bind}"
    async with aiohttp.ClientSession() as session:
        await wait_until(lambda: responds(session, url), timeout=START_TIMEOUT_S)
        client = Client(session, url, KEY)
        await wait_until(lambda: lists_tasks(client), description="the bootstrap key to be stored")
        token = (await client.post("/api/auth/stream-token", {}))[1]["token"]
        link = (await client.post("/api/auth/console-link"))[1]["url"]
        task = await client.start("http://93.184.215.14/")
        async with contextlib.AsyncExitStack() as opened:
            sockets = [
                await opened.enter_async_context(
                    session.ws_connect(f"{url}/api/scraper/ws/events/{task}?token={token}")
                )
                for _ in range(20)  # some are told their backlog while they are told to go
            ]
            process.send_signal(signal.SIGTERM)
            for ws in sockets:
                while (message := await ws.receive(timeout=START_TIMEOUT_S)).type is aiohttp.WSMsgType.TEXT:
                    pass
                assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert b"Traceback" not in log, log.decode()
    for secret in (KEY, token, link.rpartition("/")[2]):
        assert secret.encode() not in log


async def test_a_connection_ends_when_its_client_has_gone(
    start: Start, valkey: Redis, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    port = free_port()
    process = await start(
        redis_url=valkey_server.url, bind=f"127.0.0.1:{port}", bootstrap_key=KEY, fleet="process", state=str(tmp_path)
    )
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        await wait_until(lambda: responds(session, url), timeout=START_TIMEOUT_S)
        client = Client(session, url, KEY)
        await wait_until(lambda: lists_tasks(client), description="the bootstrap key to be stored")
        task = await client.start("http://93.184.215.14/")
        headers = {"Authorization": f"Bearer {KEY}"}
        async with session.ws_connect(f"{url}/api/scraper/ws/logs/{task}", headers=headers) as ws:
            assert (await ws.receive_json())["type"] == "connected"
            async with session.get(f"{url}/health/live") as kept_alive:
                assert kept_alive.status == 200
            assert len(_connections(process.pid, port)) == 2
    # both are closed by the client; the server would keep them for 75 s (keep-alive) and 20 s (ping)
    await wait_until(lambda: not _connections(process.pid, port), 10, "the server to close its ends")
    process.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, b"Traceback" in log) == (0, False)


async def test_told_to_stop_it_serves_on_and_is_not_ready_until_its_delay_is_over(
    start: Start, valkey: Redis, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    bind = f"127.0.0.1:{free_port()}"
    process = await start(
        redis_url=valkey_server.url, bind=bind, bootstrap_key=KEY, fleet="process", state=str(tmp_path),
        stop_delay="60",
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        client = Client(session, f"http://{bind}", KEY)
        await wait_until(lambda: responds(session, client.url), timeout=START_TIMEOUT_S)
        await wait_until(lambda: lists_tasks(client), description="the bootstrap key to be stored")
        assert (await client.get("/health/ready"))[0] == 200
        process.send_signal(signal.SIGTERM)

        async def not_ready() -> bool:
            return (await client.get("/health/ready"))[:2] == (503, {"status": "stopping"})

        await wait_until(not_ready, description="the readiness to be off")
        assert await lists_tasks(client), "who has not noticed yet is served"
        process.send_signal(signal.SIGTERM)
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, b"Traceback" in log) == (0, False)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"auth": "off", "bind": "0.0.0.0:8000"}, b"loopback only"),
        ({"queue_cap": "many"}, b"LEADFLEET_QUEUE_CAP"),
    ],
)
async def test_wrong_settings_are_told_in_words(start: Start, settings: dict[str, str], says: bytes) -> None:
    process = await start(**settings)
    _, log = await asyncio.wait_for(process.communicate(), START_TIMEOUT_S)
    assert process.returncode == 2
    assert says in log
    assert b"Traceback" not in log


def _connections(pid: int, port: int) -> list[str]:
    """States of the sockets that the server holds for its clients."""
    sockets = psutil.Process(pid).net_connections("tcp")
    return [s.status for s in sockets if s.laddr.port == port and s.status != psutil.CONN_LISTEN]
