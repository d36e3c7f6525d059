"""Frames come while somebody watches, at the pace that was asked, from the tab on the stage; and not otherwise."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Error

from browser_node.capture import SlotCapture
from browser_node.scraping.types import UnitResult
from fleet.messages import Frame, Run, Watch
from fleet.model import Outcome
from tests.fakes.fake_control import FakeControl
from tests.integration.browser_node.conftest import NODE, Site, StartNode
from tests.integration.browser_node.test_node import linger, running
from tests.support import wait_until


async def newest(control: FakeControl, unit: str, after: int = 0) -> Frame:
    async def look() -> Frame | None:
        frame = await control.frame(NODE)
        return frame if frame is not None and frame.unit == unit and frame.seq > after else None

    frame = await wait_until(look, 10, "a frame")
    assert frame is not None
    return frame


NOISE = """async () => {
  for (let n = 0; n < 20; n++) {
    document.body.innerHTML = Array.from({length: 3000}, () => Math.random().toString(36)).join(" ");
    await new Promise(done => setTimeout(done, 25));
  }
  document.body.innerHTML = "";
}"""


class Casts:
    """How many screencasts began and ended. The next one fails with ``fail``."""

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.fail: Error | None = None


@pytest.fixture
def casts(monkeypatch: pytest.MonkeyPatch) -> Casts:
    casts, cast = Casts(), SlotCapture._cast

    async def counted(self: SlotCapture, *args: Any) -> None:
        casts.begun += 1
        try:
            if casts.fail is not None:
                failure, casts.fail = casts.fail, None
                raise failure
            await cast(self, *args)
        finally:
            casts.ended += 1

    monkeypatch.setattr(SlotCapture, "_cast", counted)
    return casts


async def test_nothing_is_captured_until_somebody_watches_nor_after(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/moving")
    await running(control, order)
    assert await control.frame(NODE) is None
    await control.tell(NODE, Watch(order.boot, 0, 60, quality=50, fps=20))
    first = await newest(control, order.unit)
    assert first.jpeg.startswith(b"\xff\xd8")
    assert (first.tab, first.viewport_width, first.viewport_height) == ("t0", 1280, 720)
    assert abs(first.captured_us / 1e6 - time.time()) < 5
    later = await newest(control, order.unit, after=first.seq + 3)
    assert later.jpeg != first.jpeg
    assert await control.client.xlen(control.keys.frames(NODE, "0")) == 1
    assert 0 < await control.client.ttl(control.keys.frames(NODE, "0")) <= 60
    await control.tell(NODE, Watch(order.boot, 0, 0))
    seqs: list[int] = []

    async def still() -> bool:
        """The same sequence in ten looks, which at 20 frames a second are ten chances to move."""
        frame = await control.frame(NODE)
        assert frame is not None
        seqs.append(frame.seq)
        await asyncio.sleep(0.05)
        return len(seqs) >= 10 and len(set(seqs[-10:])) == 1

    await wait_until(still, 10, "the frames to end")


async def test_a_watch_ends_by_itself_and_the_same_one_begins_it_again(
    start_node: StartNode, control: FakeControl, site: Site, casts: Casts
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/moving")
    await running(control, order)
    asked = time.monotonic()
    await control.tell(NODE, Watch(order.boot, 0, 1, fps=20))
    await newest(control, order.unit)
    await wait_until(lambda: casts.ended, 5, "the screencast to end with its watch")
    assert time.monotonic() - asked < 4
    last = await newest(control, order.unit)
    await control.tell(NODE, Watch(order.boot, 0, 30, fps=20))
    again = await newest(control, order.unit, after=last.seq + 3)
    assert (casts.begun, casts.ended) == (2, 1)
    assert again.jpeg != last.jpeg


async def test_a_screencast_that_fails_is_begun_again_without_another_watch(
    start_node: StartNode, control: FakeControl, site: Site, casts: Casts
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/moving")
    await running(control, order)
    casts.fail = Error("Target crashed")
    await control.tell(NODE, Watch(order.boot, 0, 60, fps=20))
    await newest(control, order.unit, after=3)
    assert (casts.begun, casts.ended) == (2, 1)


async def test_who_asks_again_gets_a_new_picture_of_a_page_that_stands_still(
    start_node: StartNode, control: FakeControl, site: Site, casts: Casts
) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/still")
    await running(control, order)
    watch = Watch(order.boot, 0, 60)
    await control.tell(NODE, watch)
    await newest(control, order.unit)
    took = []
    for _ in range(5):
        seq, asked, at = (await newest(control, order.unit)).seq, time.time(), time.monotonic()
        await control.tell(NODE, watch)
        await wait_until(lambda seq=seq, asked=asked: _taken_after(control, seq, asked), 5, "a picture from now")
        took.append(time.monotonic() - at)
    assert min(took) < 1  # a machine that is busy may be late once
    assert casts.begun == 1


async def test_a_page_that_waits_for_its_site_is_shown_to_each_watcher_at_once(
    start_node: StartNode, control: FakeControl, site: Site, casts: Casts
) -> None:
    """Chrome answers some calls about such a page only when the navigation has ended."""

    async def wait_for_ever(order: Run, context: BrowserContext, out: Any, stage: Any, *_: Any) -> UnitResult:
        stage.show(context.pages[0], "t0")
        out.put(current="ready")
        await context.pages[0].goto("http://www.site.test/hang")
        return UnitResult(Outcome.COMPLETED)

    await start_node(wait_for_ever, egress_allow=site.allowance, drain_s=0)
    order = await control.run(NODE, "x")
    await running(control, order)
    await wait_until(lambda: any("/hang" in line for line in site.asked), 10, "the site to be asked")
    took = []
    for quality in (50, 50, 60, 60, 70, 70):  # another quality is another screencast, the same again a question
        frame = await control.frame(NODE)
        seq, asked, at = frame.seq if frame else 0, time.time(), time.monotonic()
        await control.tell(NODE, Watch(order.boot, 0, 60, quality=quality))
        await wait_until(lambda seq=seq, asked=asked: _taken_after(control, seq, asked), 8, "a picture from now")
        took.append(time.monotonic() - at)
    assert casts.begun == 3
    assert sorted(took)[4] < 3, took  # CDP_TIMEOUT is 5 s; a machine that is busy may be late once


async def test_the_last_change_is_shown_although_chrome_drops_its_picture(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    """Noise for half a second and then a blank page, to a watcher who takes one picture a second."""

    async def burst(order: Run, context: BrowserContext, out: Any, stage: Any, *_: Any) -> UnitResult:
        page = context.pages[0]
        await page.goto("http://www.site.test/still")
        stage.show(page, "t0")
        out.put(current="ready")
        await turn.wait()
        await page.evaluate(NOISE)
        blank.set()
        await asyncio.Event().wait()
        return UnitResult(Outcome.COMPLETED)

    turn, blank = asyncio.Event(), asyncio.Event()
    await start_node(burst, egress_allow=site.allowance, drain_s=0)
    order = await control.run(NODE, "x")
    await running(control, order)
    await control.tell(NODE, Watch(order.boot, 0, 60, fps=1))
    first = await newest(control, order.unit)
    turn.set()
    noise = await newest(control, order.unit, after=first.seq)
    await asyncio.wait_for(blank.wait(), 10)
    await wait_until(lambda: _small(control, len(noise.jpeg) // 4), 5, "the blank page")


async def test_a_still_page_has_its_first_picture_at_once_and_a_new_stage_its_own(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    turn = asyncio.Event()

    async def two_tabs(order: Run, context: BrowserContext, out: Any, stage: Any, *_: Any) -> UnitResult:
        still, other = context.pages[0], await context.new_page()
        await still.goto("http://www.site.test/still")
        await still.evaluate("scrollTo(0, 300)")
        await other.goto("http://www.site.test/moving")
        stage.show(still, "t0")
        out.put(current="ready")
        await turn.wait()
        stage.show(other, "t1")
        await asyncio.Event().wait()
        return UnitResult(Outcome.COMPLETED)

    await start_node(two_tabs, egress_allow=site.allowance, drain_s=0)
    order = await control.run(NODE, "x")
    await running(control, order)
    await control.tell(NODE, Watch(order.boot, 0, 60))
    asked = time.monotonic()
    frame = await newest(control, order.unit)
    assert time.monotonic() - asked < 2
    assert (frame.tab, frame.scroll_y) == ("t0", 300)
    turn.set()
    await wait_until(lambda: _tab(control), 5, "a frame of the other tab")


async def test_the_pace_is_that_of_the_watcher(start_node: StartNode, control: FakeControl, site: Site) -> None:
    await start_node(linger, egress_allow=site.allowance)
    order = await control.run(NODE, "http://www.site.test/moving")
    await running(control, order)
    await control.tell(NODE, Watch(order.boot, 0, 60, fps=4))
    times: dict[int, int] = {}

    async def enough() -> bool:
        frame = await newest(control, order.unit)
        times[frame.seq] = frame.captured_us
        return len(times) >= 6

    await wait_until(enough, 15, "six frames")
    first, last = min(times), max(times)
    seconds = (times[last] - times[first]) / 1e6
    assert last - first <= 4 * seconds + 1, times  # one that was late may be followed by one in time


async def test_a_page_is_held_until_its_picture_is_in_the_stream(
    start_node: StartNode, control: FakeControl, site: Site
) -> None:
    """At one picture a second too; and not at all when nobody watches, or watches another page or part of it."""
    answers: list[int] = []
    took: list[float] = []

    async def ask(order: Run, context: BrowserContext, out: Any, stage: Any, *_: Any) -> UnitResult:
        page, other = context.pages[0], await context.new_page()
        await page.goto("http://www.site.test/still")
        stage.show(page, "t0")
        answers.append(await stage.picture(page, (0, 0)))
        out.put(current="ready")
        await turn.wait()
        await page.evaluate("scrollTo(0, 300)")
        answers.append(await stage.picture(other, (0, 0)))
        for _ in range(5):
            asked = time.monotonic()
            answers.append(await stage.picture(page, (0, 300)))
            took.append(time.monotonic() - asked)
        answers.append(await stage.picture(page, (0, 999)))
        leaving = asyncio.create_task(stage.picture(page, (0, 999)))
        await asyncio.sleep(0)
        stage.show(other, "t1")
        answers.append(await leaving)
        return UnitResult(Outcome.COMPLETED)

    turn = asyncio.Event()
    await start_node(ask, egress_allow=site.allowance, drain_s=0)
    order = await control.run(NODE, "x")
    await running(control, order)
    await control.tell(NODE, Watch(order.boot, 0, 60, fps=1))
    first = await newest(control, order.unit)
    turn.set()
    await control.ended(order)
    unwatched, elsewhere, *pictures, scrolled, left = answers
    assert (unwatched, elsewhere, scrolled, left) == (0, 0, 0, 0)
    assert first.seq < pictures[0]
    assert pictures == sorted(set(pictures))
    last = await control.frame(NODE)
    assert last is not None
    assert last.seq >= pictures[-1]
    assert (
        min(took) < 0.9
    )  # a picture at its pace would take a second each time; a busy machine may be late, not always


async def _tab(control: FakeControl) -> bool:
    frame = await control.frame(NODE)
    return frame is not None and frame.tab == "t1"


async def _taken_after(control: FakeControl, seq: int, moment: float) -> bool:
    frame = await control.frame(NODE)
    return frame is not None and frame.seq > seq and frame.captured_us / 1e6 > moment


async def _small(control: FakeControl, size: int) -> bool:
    frame = await control.frame(NODE)
    return frame is not None and len(frame.jpeg) < size
