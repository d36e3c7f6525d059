"""``leadfleet export`` while object storage is slow or silent, and what Ctrl-C leaves."""

from __future__ import annotations

import asyncio
import gzip
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from control_plane.settings import Settings
from control_plane.store.client import LeadStore
from control_plane.store.options import StoreOptions
from fleet.keys import Keys
from tests.fault_proxy import Fault, FaultProxy
from tests.integration.control_plane.api.conftest import KEY, Client, serving
from tests.integration.control_plane.store.sample import found, lead
from tests.servers import MotoServer
from tests.support import REPOSITORY, wait_until


@pytest.fixture
async def proxy(moto_server: MotoServer) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(moto_server.port) as made:
        yield made


@pytest.fixture
def options(options: StoreOptions, proxy: FaultProxy) -> StoreOptions:
    return replace(options, s3_endpoint=proxy.endpoint)


@pytest.fixture
async def api(
    store: LeadStore, options: StoreOptions, valkey: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client]:
    """A client of a replica that has two leads, which is the one that `leadfleet` uses."""
    settings = Settings(redis_url=options.redis_url, fleet="test", bootstrap_key=KEY, secret="s" * 32)
    async with serving(settings) as served:
        served.services.store = store
        monkeypatch.setenv("LEADFLEET_URL", served.url)
        monkeypatch.setenv("LEADFLEET_API_KEY", KEY)
        await found(valkey, keys, lead(1), lead(2), tenant="default")
        yield served.client()


async def export(target: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control_plane.cli", "export", "-o", str(target)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
    )


async def test_ctrl_c_cancels_the_export(api: Client, proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.fail(Fault.SILENT, "PUT .*/exports/")
    command = await export(tmp_path / "leads.csv")

    async def running() -> str | None:
        _, page, _ = await api.get("/api/export")
        return page["items"][0]["export_id"] if page["items"] and page["items"][0]["status"] == "running" else None

    name = await wait_until(running, 60, "the export to begin")
    assert name
    command.send_signal(signal.SIGINT)
    _, said = await asyncio.wait_for(command.communicate(), 60)
    assert command.returncode == 130
    assert b"cancelling the export" in said
    assert b"Traceback" not in said
    assert (await api.get(f"/api/export/{name}"))[1]["status"] == "cancelled"
    assert not (tmp_path / "leads.csv").exists()


async def test_a_name_that_ends_in_gz_is_a_packed_file(api: Client, proxy: FaultProxy, tmp_path: Path) -> None:
    proxy.fail(Fault.SLOW, "PUT .*/exports/", times=1)
    command = await export(tmp_path / "leads.csv.gz")
    shown, said = await asyncio.wait_for(command.communicate(), 60)
    assert command.returncode == 0, said
    assert shown.decode().startswith(f"{tmp_path / 'leads.csv.gz'}: 2 leads, ")
    assert gzip.decompress(await asyncio.to_thread((tmp_path / "leads.csv.gz").read_bytes)).startswith(b"lead_id,name,")
