"""When a replica looks at all its objects for garbage."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from control_plane import collector
from control_plane.turnstile import Turnstile
from fleet.cancellation import end_all


class Ring:
    """Garbage that only the collector finds, as a connection is that has ended."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def old() -> Iterator[weakref.ref[Ring]]:
    """A ring that nobody holds any more and that has outlived looks at younger objects."""
    before = gc.get_threshold()
    gc.set_threshold(0)
    ring = Ring()
    for _ in range(collector.DUE):
        gc.collect(1)
    watched = weakref.ref(ring)
    del ring
    yield watched
    gc.set_threshold(*before)


@pytest.fixture
def turnstile(monkeypatch: pytest.MonkeyPatch) -> Turnstile:
    monkeypatch.setattr(collector, "LOOK_EVERY_S", 0)
    return Turnstile()


async def test_garbage_goes_in_a_quiet_moment(old: weakref.ref[Ring], turnstile: Turnstile) -> None:
    collecting = asyncio.create_task(collector.collect_when_quiet(turnstile))
    await asyncio.sleep(0)
    await end_all([collecting])
    assert old() is None


async def test_no_request_waits_for_a_look_at_all_objects(old: weakref.ref[Ring], turnstile: Turnstile) -> None:
    await turnstile.enter("one")
    waiting = asyncio.create_task(turnstile.enter("other"))
    collecting = asyncio.create_task(collector.collect_when_quiet(turnstile))
    await waiting
    assert old() is not None
    while not turnstile.quiet:  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await end_all([collecting])
    assert old() is None
