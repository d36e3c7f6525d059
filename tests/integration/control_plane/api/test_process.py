"""The process: starts, serves, stops when told, and tells no secret."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.integration.control_plane.api.conftest import KEY, Client, _answers
from tests.servers import ValkeyServer
from tests.support import REPOSITORY, free_port, wait_until

START_TIMEOUT_S = 60  # imports take a second on an idle machine


async def start(**settings: str) -> asyncio.subprocess.Process:
    environment = os.environ | {f"LEADFLEET_{name.upper()}": value for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "control_plane",
        env=environment,
        cwd=REPOSITORY,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_it_serves_until_told_and_its_log_holds_no_secret(
    valkey: Redis, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    bind = f"127.0.0.1:{free_port()}"
    process = await start(
        redis_url=valkey_server.url, bind=bind, bootstrap_key=KEY, fleet="process", state=str(tmp_path),
        log_level="debug",
    )  # fmt: skip
    url = f"http://{bind}"
    async with aiohttp.ClientSession() as session:
        await wait_until(lambda: _answers(session, url), timeout=START_TIMEOUT_S)
        client = Client(session, url, KEY)
        await wait_until(lambda: _lists_tasks(client), description="the bootstrap key to be stored")
        token = (await client.post("/api/auth/stream-token", {}))[1]["token"]
        link = (await client.post("/api/auth/console-link"))[1]["url"]
        task = await client.start("http://93.184.215.14/")
        async with session.ws_connect(f"{url}/api/scraper/ws/logs/{task}?token={token}") as ws:
            assert (await ws.receive_json())["type"] == "connected"
            process.send_signal(signal.SIGTERM)
            while (message := await ws.receive(timeout=START_TIMEOUT_S)).type is aiohttp.WSMsgType.TEXT:
                pass
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
    _, log = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert b"Traceback" not in log
    for secret in (KEY, token, link.rpartition("/")[2]):
        assert secret.encode() not in log


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"auth": "off", "bind": "0.0.0.0:8000"}, b"loopback only"),
        ({"queue_cap": "many"}, b"LEADFLEET_QUEUE_CAP"),
    ],
)
async def test_wrong_settings_are_told_in_words(settings: dict[str, str], says: bytes) -> None:
    process = await start(**settings)
    _, log = await asyncio.wait_for(process.communicate(), START_TIMEOUT_S)
    assert process.returncode == 2
    assert says in log
    assert b"Traceback" not in log


async def _lists_tasks(client: Client) -> bool:
    return (await client.get("/api/tasks"))[0] == 200
