"""A whole node: registers, runs units, survives its Chrome and its driver, drains."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import psutil
from playwright.async_api import BrowserContext

from browser_node import processes
from browser_node.scraping.types import UnitControl, UnitResult
from fleet.messages import Cancel, Drain, Goodbye, Heartbeat, Pause, Run, SlotChange, Steer
from fleet.model import Outcome
from tests.fakes.fake_control import FakeControl
from tests.integration.browser_node.conftest import NODE, Site, StartNode
from tests.support import wait_until

OVER = UnitResult(Outcome.COMPLETED)


async def visit(order: Run, context: BrowserContext, out: Any, stage: Any, *_: Any) -> UnitResult:
    """One page, its title as an event and a checkpoint."""
    page = context.pages[0]
    stage.show(page, "t0")
    await page.goto(order.query)
    out.put(
        events=[{"kind": "log", "data": {"message": await page.title(), "unit": order.unit}}],
        set={"v": order.query}, pages=1, current=order.query,
    )  # fmt: skip
    await out.drained()
    return OVER


async def linger(order: Run, context: BrowserContext, out: Any, stage: Any, _: Any, control: UnitControl) -> UnitResult:
    """Show a page and stay until asked to pause; cancellation comes from outside."""
    page = context.pages[0]
    stage.show(page, "t0")
    await page.goto(order.query)
    out.put(current=order.query)
    while not control.pausing.is_set():
        await page.evaluate("new Promise(done => setTimeout(done, 50))")
    return UnitResult(Outcome.PAUSED)


async def running(control: FakeControl, order: Run) -> None:
    await wait_until(lambda: control.batches(order), 15, "the unit's first batch")


def told(control: FakeControl, order: Run, what: str) -> bool:
    """Whether the unit's log has a line with ``what`` in it."""
    events = [event["data"] for batch in control.batches(order) for event in batch.events]
    return any(what in event.get("message", "") for event in events)


def chrome_of(control: FakeControl) -> psutil.Process:
    """The only Chrome of this test's node: the child that carries the mark of a state directory."""
    children = psutil.Process().children()
    return next(child for child in children if processes.MARK in child.environ())


async def test_a_unit_runs_and_its_end_follows_what_it_put(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    await start_node(visit, egress_allow=site.allowance, labels=("eu",))
    register = await control.registered()
    assert register.slots[0]["index"] == 0
    assert register.slots[0]["port"] > 0
    assert register.labels == ["eu"]
    assert register.sandbox in {"none", "namespace"}
    assert "Chrom" in register.browser
    order = await control.run(NODE, "http://www.site.test/home")
    end = await control.ended(order)
    assert end.outcome == Outcome.COMPLETED
    assert [b.seq for b in control.batches(order)] == list(range(1, end.seq))
    assert control.batches(order)[0].events[0]["data"]["message"] == "a page"
    assert control.batches(order)[0].set == {"v": order.query}
    assert site.asked[0] == "GET www.site.test/home"
    beat = await control.hear(Heartbeat, lambda m: m.commands_seen != "0-0" and not m.live)
    assert beat.boot == register.boot


async def test_units_share_no_cookies(start_node: StartNode, control: FakeControl, site: Site) -> None:
    await start_node(visit, egress_allow=site.allowance)
    for path in ("set-cookie", "again"):
        order = await control.run(NODE, f"http://www.site.test/{path}")
        assert (await control.ended(order)).outcome == Outcome.COMPLETED
    assert "Cookie" not in site.headers[-1]


async def test_a_killed_chrome_ends_the_attempt_and_a_new_one_follows(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    old = chrome_of(control)
    killed = time.monotonic()
    old.kill()
    end = await control.ended(order)
    assert time.monotonic() - killed < 2
    assert (end.outcome, end.error, end.retryable) == (Outcome.FAILED, "chrome_died", True)
    broken = await control.hear(SlotChange, lambda m: m.state == "broken")
    warm = await control.hear(SlotChange, lambda m: m.state == "free")
    assert control.said.index(broken) < control.said.index(end)
    assert warm.port > 0
    again = await control.run(NODE, "http://www.site.test/again")
    await running(control, again)
    assert not old.is_running()


async def test_a_unit_that_ends_while_somebody_has_the_wheel_says_nothing_afterwards(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    """What it said then would be refused as a stale attempt's."""
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    await control.tell(NODE, Steer(order.boot, 0, order.unit, 1, "somebody"))
    await wait_until(lambda: told(control, order, "has the wheel"), 10, "the unit to wait")
    chrome_of(control).kill()
    await control.ended(order)
    said, beats = len(control.batches(order)), len(control.of(Heartbeat))
    # the wheel lapses a second after it was taken, and beats come every three
    await wait_until(lambda: len(control.of(Heartbeat)) >= beats + 2, 20, "two more heartbeats")
    assert len(control.batches(order)) == said


async def test_a_stopped_chrome_is_killed_within_ten_seconds(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    leader = chrome_of(control)
    os.killpg(leader.pid, signal.SIGSTOP)
    started = time.monotonic()
    end = await control.ended(order)
    assert end.error == "chrome_died"
    assert time.monotonic() - started < 10
    await wait_until(lambda: not processes.members(leader.pid), 5, "all processes of the stopped Chrome to be gone")


async def test_a_killed_driver_fails_the_unit_as_retryable_and_is_replaced(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    next(p for p in psutil.Process().children() if "run-driver" in p.cmdline()).kill()
    end = await control.ended(order)
    assert (end.outcome, end.error, end.retryable) == (Outcome.FAILED, "driver_lost", True)
    again = await control.run(NODE, "http://www.site.test/again")
    await running(control, again)


async def test_pause_cancel_and_a_unit_that_ignores_both(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    await control.tell(NODE, Pause(order.boot, order.unit, order.fence))
    assert (await control.ended(order)).outcome == Outcome.PAUSED
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    await control.tell(NODE, Cancel(order.boot, order.unit, order.fence, "stopped by a test"))
    assert (await control.ended(order, 10)).outcome == Outcome.STOPPED


async def test_a_unit_that_ignores_cancel_loses_its_chrome(start_node: StartNode, control: FakeControl) -> None:
    release = asyncio.Event()

    async def stubborn(order: Run, context: BrowserContext, out: Any, *_: Any) -> UnitResult:
        out.put(current="defying")
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return OVER

    await start_node(stubborn)
    old = chrome_of(control)
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    await control.tell(NODE, Cancel(order.boot, order.unit, order.fence))
    assert (await control.ended(order, 10)).outcome == Outcome.STOPPED
    assert not old.is_running() or old.status() == psutil.STATUS_ZOMBIE
    await control.hear(SlotChange, lambda m: m.state == "free")
    release.set()


async def test_a_run_for_a_busy_slot_goes_back(start_node: StartNode, control: FakeControl, site: Site) -> None:
    await start_node(linger, egress_allow=site.allowance)
    first = await control.run(NODE, "http://www.site.test/")
    await running(control, first)
    second = await control.run(NODE, "http://www.site.test/")
    assert (await control.ended(second)).outcome == Outcome.RETURNED
    assert not control.of(type(await control.ended(second)), lambda m: m.unit == first.unit)


async def test_a_chrome_is_recycled_between_units(start_node: StartNode, control: FakeControl, site: Site) -> None:
    await start_node(visit, egress_allow=site.allowance, recycle_units=1)
    old = chrome_of(control)
    order = await control.run(NODE, "http://www.site.test/")
    end = await control.ended(order)
    assert end.outcome == Outcome.COMPLETED
    broken = await control.hear(SlotChange, lambda m: m.state == "broken")
    assert control.said.index(broken) < control.said.index(end)
    await control.hear(SlotChange, lambda m: m.state == "free")
    assert not old.is_running()
    again = await control.run(NODE, "http://www.site.test/")
    assert (await control.ended(again)).outcome == Outcome.COMPLETED


async def test_drain_hands_back_what_does_not_end(start_node: StartNode, control: FakeControl, site: Site) -> None:
    _, task = await start_node(linger, egress_allow=site.allowance, drain_s=0.2)
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    await control.tell(NODE, Drain(order.boot))
    end = await control.ended(order)
    assert end.outcome == Outcome.RETURNED
    goodbye = await control.hear(Goodbye)
    assert control.said.index(end) < control.said.index(goodbye)
    await asyncio.wait_for(task, 20)


async def test_an_empty_store_makes_the_node_join_again(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    first = await control.registered()
    order = await control.run(NODE, "http://www.site.test/")
    await running(control, order)
    # what a restart without its data leaves: no keys, no users but those of the configuration, no connections
    await control.client.flushall()
    await control.client.execute_command("ACL", "DELUSER", f"node-{NODE}")
    second = await control.registered(boot_is_not=first.boot)
    assert second.boot != first.boot
    assert not control.of(type(await control.registered(first.boot)), lambda m: m.boot == order.unit)
    again = await control.run(NODE, "http://www.site.test/again", boot=second.boot)
    await running(control, again)
