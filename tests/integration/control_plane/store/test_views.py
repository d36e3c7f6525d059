"""Building views: once however many ask, and saying how far it is."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from redis.asyncio import Redis

from control_plane.errors import Unavailable
from control_plane.store import views as module
from control_plane.store.schema import Position
from control_plane.store.table import ObservationLog
from control_plane.store.views import Views
from fleet.keys import Keys
from infra.bench.leads import log_rows
from tests.support import wait_until


@pytest.fixture
async def views(valkey: Redis, keys: Keys, tmp_path: Path) -> Views:
    log = ObservationLog(f"file://{tmp_path}/leads", {})
    log.stored()
    for batch, rows in enumerate(log_rows(2_000, "acme"), start=1):
        log.append(rows, batch, Position(rows["stream_ms"][-1], 0))
    (tmp_path / "scratch").mkdir()
    return Views(valkey, keys, log, tmp_path / "scratch", 10_000_000)


async def test_a_view_is_built_once_however_many_ask(views: Views, tmp_path: Path) -> None:
    found = await asyncio.gather(*(views.of("acme") for _ in range(5)))
    assert len({id(view) for view in found}) == 1
    assert found[0].height == 2_000 - 39  # one in fifty tells of the business of the row before
    assert len(list((tmp_path / "scratch").iterdir())) == 1
    await views.close()
    assert list((tmp_path / "scratch").iterdir()) == []


async def test_who_does_not_wait_is_told_so_and_finds_it_later(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOAD_WAIT_S", 0.0)
    with pytest.raises(Unavailable, match="being read"):
        await views.of("acme")
    impatient = asyncio.create_task(views.of("acme"))
    await asyncio.sleep(0)
    impatient.cancel()
    monkeypatch.setattr(module, "LOAD_WAIT_S", 30.0)
    view = await views.of("acme")
    assert view.height == 2_000 - 39
    await views.close()


async def test_a_change_under_way_is_waited_for_by_who_is_cancelled(
    views: Views, valkey: Redis, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = await views.of("acme")
    position = Position(view.position.ms + 1, 0)
    await valkey.hset(keys.sink_cursor(), "cursor", str(position))
    begun, go_on = threading.Event(), threading.Event()

    def slow(sightings: object) -> None:
        begun.set()
        assert go_on.wait(30)

    monkeypatch.setattr(view, "apply", slow)
    impatient = asyncio.create_task(views.of("acme"))
    assert await asyncio.to_thread(begun.wait, 30)
    impatient.cancel()
    done, _ = await asyncio.wait({impatient}, timeout=0.2)
    assert not done, "the lock would be free, and the next change run beside this one"
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    await views.close()


async def test_views_that_nobody_asks_for_are_given_up(
    views: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await views.of("acme")
    monkeypatch.setattr(module, "IDLE_S", 0.0)
    monkeypatch.setattr(module, "FOLLOW_S", 0.0)
    following = asyncio.create_task(views.follow())
    await wait_until(lambda: not views.rows(), 10, "the view to be given up")
    following.cancel()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert (await views.of("acme")).height == 2_000 - 39
    await views.close()
