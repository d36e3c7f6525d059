"""Object storage as a replica sees it through the worker of its leads store."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from control_plane import monitor as monitoring
from control_plane.monitor import REACH_FAILURES, Monitor
from control_plane.store.client import LeadStore
from fleet.clock import SystemClock
from fleet.keys import Keys
from tests.integration.control_plane.store.conftest import aws, keys, options, store
from tests.support import wait_until

__all__ = ["aws", "keys", "options", "store"]


async def test_a_worker_that_still_starts_takes_no_replica_out_of_service(
    store: LeadStore, valkey: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wait_until(lambda: store.starting, 20, "the worker to run")
    pid = store.worker_pid
    assert pid is not None
    monitor = Monitor(valkey, keys, store, SystemClock())

    async def up() -> bool:
        await monitor.look_at_storage(store)
        return monitor.storage() == {"status": "up"}

    with stopped(pid):  # as good as importing on a machine that is overloaded
        for _ in range(REACH_FAILURES):
            await monitor.look_at_storage(store)
        assert store.starting
        assert monitor.storage() == {"status": "unknown"}
    await wait_until(up, 60, "storage to be reached")

    assert not store.starting
    monkeypatch.setattr(monitoring, "REACH_LIMIT", timedelta(seconds=0.1))
    with stopped(pid):  # one that has started and hangs is another matter
        for _ in range(REACH_FAILURES):
            await monitor.look_at_storage(store)
        assert monitor.storage()["status"] == "down"


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
