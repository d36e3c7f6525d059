"""The servers of the test suite are the real ones, and behave as the stack's do."""

from __future__ import annotations

import urllib.request
from pathlib import Path

from redis.asyncio import Redis

from tests.servers import MotoServer, ValkeyServer


async def test_valkey_is_durable_and_never_evicts(valkey: Redis) -> None:
    assert (await valkey.config_get("appendonly"))["appendonly"] == "yes"
    assert (await valkey.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"


async def test_an_acknowledged_write_survives_kill_9(tmp_path: Path) -> None:
    server = ValkeyServer(tmp_path)
    server.start()
    async with Redis.from_url(server.url) as client:
        await client.set("kept", "yes")
    server.kill()
    server.start()
    async with Redis.from_url(server.url) as client:
        assert await client.get("kept") == b"yes"
    server.stop()


def test_moto_speaks_s3(moto_server: MotoServer) -> None:
    with urllib.request.urlopen(moto_server.endpoint) as answer:
        assert b"ListAllMyBucketsResult" in answer.read()
