"""Turns per host, on a clock that only moves when it is told to."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from browser_node.scraping import politeness
from browser_node.scraping.politeness import MAX_CRAWL_DELAY, HostPoliteness
from tests.support import wait_until


class HandClock:
    """Moves by what is slept."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept, instead of sleeping it."""
    naps: list[float] = []

    async def sleep(seconds: float) -> None:
        naps.append(round(seconds, 3))
        HandClock.now += seconds

    monkeypatch.setattr(politeness.asyncio, "sleep", sleep)
    return naps


async def test_requests_to_one_host_are_spaced_and_others_are_not(slept: list[float]) -> None:
    polite = HostPoliteness(delay=timedelta(milliseconds=250), clock=HandClock())
    for host in ("a.test", "b.test", "a.test"):
        async with polite.turn(host):
            pass
    assert slept == [0.25]


async def test_a_crawl_delay_is_honoured_up_to_a_bound(slept: list[float]) -> None:
    polite = HostPoliteness(clock=HandClock())
    for _ in range(2):
        async with polite.turn("a.test", timedelta(hours=1)):
            pass
    assert slept == [MAX_CRAWL_DELAY.total_seconds()]


async def test_local_hosts_wait_for_nothing(slept: list[float]) -> None:
    polite = HostPoliteness(is_ours=lambda host: host.endswith(".town.test"), clock=HandClock())
    for _ in range(3):
        async with polite.turn("a.town.test", timedelta(seconds=5)):
            pass
    assert slept == []


async def test_no_more_tabs_than_allowed_are_on_one_host() -> None:
    polite = HostPoliteness(delay=timedelta(), concurrency=2)
    leave, inside = asyncio.Event(), set()

    async def visit(number: int) -> None:
        async with polite.turn("a.test"):
            inside.add(number)
            await leave.wait()

    visits = [asyncio.create_task(visit(number)) for number in range(3)]
    await wait_until(lambda: len(inside) == 2)
    async with polite.turn("b.test"):
        assert len(inside) == 2
    leave.set()
    await asyncio.gather(*visits)
    assert inside == {0, 1, 2}
