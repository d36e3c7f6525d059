"""Fixtures every test may use, and the leak checks that the whole suite has to pass."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.servers import ClusterModeServer, MotoServer, ValkeyServer

RUN_MARK = "LEADFLEET_TEST_RUN"  # inherited by every process this run starts, however deep, orphans included

LEFT_OVER_GRACE_S = 10  # a Chrome that was told to end needs a moment to take its renderers along


@pytest.fixture(scope="session", autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """Every process this run started, directly or not, is gone once the last fixture has been torn down."""
    token = secrets.token_hex(8)
    os.environ[RUN_MARK] = token
    yield
    del os.environ[RUN_MARK]
    _, left = psutil.wait_procs(_processes_of_run(token), timeout=LEFT_OVER_GRACE_S)
    if left:
        commands = "\n".join(f"  {process.pid} {_command_line(process)}" for process in left)
        pytest.fail(f"processes left behind by the tests:\n{commands}", pytrace=False)


@pytest.fixture(scope="session", autouse=True)
def _no_profile_is_left(_no_process_is_left: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every Chrome profile made in the tests' temporary folder has been deleted by whoever made it."""
    yield
    left = sorted(path.parent for path in tmp_path_factory.getbasetemp().rglob("Local State"))
    if left:
        pytest.fail("Chrome profiles left behind by the tests:\n" + "\n".join(map(str, left)), pytrace=False)


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """One real Valkey for the whole run, in cluster mode with ``LEADFLEET_TEST_CLUSTER=1``: there scripts may not name
    keys of several slots. A test of crashes starts a `ValkeyServer` of its own."""
    kind = ClusterModeServer if os.environ.get("LEADFLEET_TEST_CLUSTER") == "1" else ValkeyServer
    server = kind(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def valkey(valkey_server: ValkeyServer) -> AsyncIterator[Redis]:
    """A client (bytes in and out) of an empty server."""
    client = Redis.from_url(valkey_server.url, retry=Retry(NoBackoff(), 0))
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def moto_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MotoServer]:
    """One S3 server for the whole run; use a bucket of your own in it."""
    server = MotoServer(tmp_path_factory.mktemp("moto"))
    server.start()
    yield server
    server.stop()


def _processes_of_run(token: str) -> list[psutil.Process]:
    """All live processes of this machine that carry the run's mark, but for Python's own resource tracker."""
    found = []
    for process in psutil.process_iter():
        try:
            marked = process.environ().get(RUN_MARK) == token
        except (psutil.Error, OSError):
            continue
        # multiprocessing keeps one tracker a process, and ends it with the process
        if marked and "resource_tracker" not in _command_line(process):
            found.append(process)
    return found


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return "(gone)"
