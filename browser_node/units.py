"""One unit on one slot, from its command to its end: the runner does the work, this sees that it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog
from playwright.async_api import BrowserContext, Page

from browser_node.capture import SlotCapture
from browser_node.guard import NO_SPACE, OUT_OF_MEMORY
from browser_node.hand import Hand
from browser_node.outbox import UnitWriter
from browser_node.pool import CHROME_DIED, DRIVER_LOST, Lane, Slot
from browser_node.scraping.types import Services, Stage, UnitControl, UnitOut, UnitResult
from egress.listeners import SlotListener
from fleet.messages import Run
from fleet.model import CANCEL_GRACE, Outcome

RunUnit = Callable[[Run, BrowserContext, UnitOut, Stage, Services, UnitControl], Awaitable[UnitResult]]
"""``scraping.runner.run_unit``."""

LEND_TIMEOUT = timedelta(seconds=20)
"""A slot whose Chrome is just being replaced has a lane again within a second or two."""

BLAME_WITHIN = timedelta(seconds=1)
"""How long after a failure the death of Chrome (at once) or of the driver (0.5 s) may become known."""

BLAME_RAISED_WITHIN = timedelta(seconds=5)
"""The same when the runner raised, which it does when its browser is gone: on a busy machine the news comes late."""

INTERNAL = "internal"

SENTENCES = {
    CHROME_DIED: "Chrome died",
    DRIVER_LOST: "Playwright's driver died",
    OUT_OF_MEMORY: "Chrome took more memory than it may (LEADFLEET_CHROME_MB) and was killed",
    NO_SPACE: "the disk of the node was full",
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a unit is to end early, as which outcome, and how long it may take until force is used.

    The higher ``rank`` wins when several come. After ``cancel_after`` the runner's task is cancelled, after
    ``kill_after`` its Chrome is killed; both count from the request.
    """

    rank: int
    outcome: Outcome
    cancel_after: timedelta
    kill_after: timedelta


PAUSE = Stop(1, Outcome.PAUSED, timedelta(seconds=20), timedelta(seconds=25))
"""A page takes up to 20 s; the checkpoint is written after each, so a pause waits for the page, not longer."""

HAND_BACK = Stop(2, Outcome.RETURNED, timedelta(seconds=3), timedelta(seconds=6))
"""The drain limit is over by then."""

NO_WAY_OUT = Stop(3, Outcome.RETURNED, HAND_BACK.cancel_after, HAND_BACK.kill_after)
"""What the unit could not reach meanwhile is no fault of its pages."""

CANCEL = Stop(4, Outcome.STOPPED, CANCEL_GRACE * 0.3, CANCEL_GRACE * 0.8)
"""Done, slot clean, within CANCEL_GRACE."""

FENCE = Stop(5, Outcome.RETURNED, timedelta(0), timedelta(seconds=1))
"""The unit may already run elsewhere: at once."""


class UnitStage:
    """The ``Stage`` of one unit. ``page`` is what it shows."""

    def __init__(self, capture: SlotCapture, unit: str) -> None:
        self._capture, self._unit = capture, unit
        self.page: Page | None = None

    def show(self, page: Page, tab: str) -> None:
        self.page = page
        self._capture.show(self._unit, page, tab)

    async def picture(self, page: Page, scroll: tuple[float, float]) -> int:
        return await self._capture.picture(page, scroll)

    async def next_picture(self, after: int) -> tuple[int, Page]:
        return await self._capture.next_picture(after)


class LiveUnit:
    """A unit that holds a slot of this node. `run` returns after its end was put into the outbox."""

    def __init__(
        self, order: Run, slot: Slot, capture: SlotCapture, way_out: SlotListener, out: UnitWriter,
        services: Services, run_unit: RunUnit,
    ) -> None:  # fmt: skip
        self.order = order
        self._slot, self._capture, self._way_out, self._out = slot, capture, way_out, out
        self._services = replace(services, proxy_url=f"http://{way_out.address}", refusal=way_out.refusal)
        self._run_unit = run_unit
        self._control = UnitControl()
        self._stage = UnitStage(capture, order.unit)
        self._hand = Hand(lambda: self._stage.page)
        self._steered_by = ""
        self._stop: Stop | None = None
        self._work: asyncio.Task[UnitResult] | None = None
        self._force: list[asyncio.TimerHandle] = []
        self._killed = asyncio.Event()

    def stop(self, stop: Stop, reason: str = "") -> None:
        """Ask the unit to end; force follows."""
        if self._stop is not None and self._stop.rank >= stop.rank:
            return
        self._stop = stop
        self._control.wheel.give_back()
        if stop is FENCE:
            self._out.abandon(reason)
        if stop in {CANCEL, FENCE}:
            self._control.cancelled.set()
        else:
            self._control.pausing.set()
        loop = asyncio.get_running_loop()
        self._force.append(loop.call_later(stop.cancel_after.total_seconds(), self._cancel_work))
        self._force.append(loop.call_later(stop.kill_after.total_seconds(), self._kill))

    def steer(self, seconds: int, by: str) -> None:
        """A person has the wheel for so long; 0: it is given back. Not of a unit that is to end."""
        wheel = self._control.wheel
        if seconds > 0 and self._stop is None:
            if wheel.hold(seconds, self._lapsed):
                self._steered_by = by
                self._out.log("info", f"{by} has the wheel: the unit waits", code="steered")
            else:
                self._out.put()  # the unit is well: the store would end one that says nothing for long
        elif seconds == 0 and wheel.held:
            wheel.give_back()
            self._out.log("info", f"{self._steered_by} gave the wheel back: the unit goes on", code="steered")

    def _lapsed(self) -> None:
        self._out.log("warning", f"{self._steered_by} is gone from the wheel: the unit goes on", code="steered")

    def input(self, what: str, data: Mapping[str, Any]) -> None:
        """Do what the person at the wheel does; nothing when nobody has it."""
        if self._control.wheel.held:
            self._hand.put(what, data)

    async def run(self, on_over: Callable[[], None]) -> None:
        """Run it to its end. ``on_over`` is called when the slot may take the next unit."""
        lane: Lane | None = None
        log.info("unit_begun", unit=self.order.unit, slot=self._slot.index, fence=self.order.fence)
        try:
            async with asyncio.timeout(LEND_TIMEOUT.total_seconds()):
                lane = await self._slot.lend()
            self._way_out.lend(self.order.unit, self.order.fence, self._capped)
            async with self._hand:
                result = await self._supervised(lane)
            await self._slot.due()  # says so before the unit's end does, so the slot is not leased meanwhile
        except TimeoutError:
            result = UnitResult(Outcome.RETURNED, "slot_not_ready", "the slot has no live Chrome")
        finally:
            for handle in self._force:
                handle.cancel()
            self._capture.clear()
            self._way_out.free()
            self._control.wheel.give_back()  # whoever has it: it would lapse after the unit's end, and say so
            if lane is not None:
                self._slot.give_back(lane)
        log.info(
            "unit_over", unit=self.order.unit, fence=self.order.fence, outcome=result.outcome.value, error=result.error
        )
        self._out.end(result.outcome, result.error, result.detail, retryable=result.retryable)
        on_over()

    def _capped(self, reason: str) -> None:
        self._out.log("warning", f"the egress proxy cut or refused a connection: {reason}", code="egress_cap")

    async def _supervised(self, lane: Lane) -> UnitResult:
        self._work = asyncio.ensure_future(
            self._run_unit(self.order, lane.context, self._out, self._stage, self._services, self._control)
        )
        if self._stop is FENCE:
            self._work.cancel()
        killed = asyncio.create_task(self._killed.wait())
        try:
            ends: set[asyncio.Future[Any]] = {self._work, lane.ended, killed}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not self._work.done():
                self._work.cancel()
                await asyncio.wait({self._work}, timeout=BLAME_WITHIN.total_seconds())
            return await self._verdict(lane)
        finally:
            killed.cancel()
            self._work.cancel()

    async def _verdict(self, lane: Lane) -> UnitResult:
        """What the runner said, unless it was stopped or the ground under it is gone."""
        assert self._work is not None
        result = _result_of(self._work)
        if result is not None and result.outcome is Outcome.COMPLETED:
            return result
        if self._stop is not None and (result is None or result.outcome is not Outcome.FAILED):
            return UnitResult(self._stop.outcome)
        if self._stop is NO_WAY_OUT:
            return UnitResult(self._stop.outcome)
        if self._stop in {CANCEL, FENCE}:
            return UnitResult(Outcome.STOPPED)
        if result is not None and result.outcome is not Outcome.FAILED:
            return result
        within = BLAME_RAISED_WITHIN if result is not None and result.error == INTERNAL else BLAME_WITHIN
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(lane.ended), within.total_seconds())
        if lane.ended.done():
            why = lane.ended.result()
            return UnitResult(Outcome.FAILED, why, f"{SENTENCES.get(why, why)} while the unit ran")
        return result or UnitResult(Outcome.FAILED, INTERNAL, "the runner was cancelled by nobody")

    def _cancel_work(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _kill(self) -> None:
        log.warning("unit_killed", unit=self.order.unit)
        self._slot.kill()
        self._killed.set()


def _result_of(work: asyncio.Task[UnitResult]) -> UnitResult | None:
    """The runner's result; a failure for what it raised; None when it was cancelled or still runs."""
    if not work.done() or work.cancelled():
        return None
    error = work.exception()
    if error is None:
        return work.result()
    log.error("runner_raised", error=repr(error)[:500])
    return UnitResult(Outcome.FAILED, INTERNAL, f"{type(error).__name__}: {error}"[:500])
