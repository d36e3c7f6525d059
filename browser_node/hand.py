"""The hand of a person on a page: pointer, wheel, keys and text, one after the other, as they came."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import structlog
from playwright.async_api import Error, Page

from fleet.cancellation import end_all

WAITING = 256
"""Inputs that wait for a page that is busy; the oldest moves go first, then what came last is refused."""

EACH_WITHIN = timedelta(seconds=5)
"""A page that takes longer for one input has hung; the next one is tried."""

PASTE = """text => {
  const target = document.activeElement || document.body, data = new DataTransfer();
  data.setData("text/plain", text);
  const paste = new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
  return target.dispatchEvent(paste);
}"""
"""Whether the page leaves it to us to put the text in: some take a code that is pasted apart by themselves."""

log = structlog.get_logger(__name__)


class Hand:
    """``async with Hand(page)``: ``page`` says what is on stage when an input is carried out, None for nothing."""

    def __init__(self, page: Callable[[], Page | None]) -> None:
        self._page = page
        self._inputs: deque[tuple[str, Mapping[str, Any]]] = deque()
        self._news = asyncio.Event()
        self._work: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Hand:
        self._work = asyncio.create_task(self._carry_out(), name="hand")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._work is not None
        await end_all([self._work])

    def put(self, what: str, data: Mapping[str, Any]) -> None:
        """Carry an input out when those before it have been; see ``fleet.messages.Input``."""
        if len(self._inputs) >= WAITING and not self._drop_a_move():
            log.warning("input_dropped", what=what)
            return
        self._inputs.append((what, data))
        self._news.set()

    def _drop_a_move(self) -> bool:
        for place, (what, data) in enumerate(self._inputs):
            if what == "pointer" and data.get("event") == "move":
                del self._inputs[place]
                return True
        return False

    async def _carry_out(self) -> None:
        while True:
            self._news.clear()
            while self._inputs:
                what, data = self._inputs.popleft()
                page = self._page()
                if page is None:
                    continue
                try:
                    async with asyncio.timeout(EACH_WITHIN.total_seconds()):
                        await _apply(page, what, data)
                except (Error, TimeoutError, KeyError, TypeError, ValueError) as exc:
                    log.info("input_failed", what=what, error=f"{type(exc).__name__}: {exc}"[:200])
            await self._news.wait()


async def _apply(page: Page, what: str, data: Mapping[str, Any]) -> None:
    match what:
        case "pointer":
            await _point(page, data)
            if data["event"] == "down":
                await page.mouse.down(button=data["button"], click_count=int(data["clicks"]))
            elif data["event"] == "up":
                await page.mouse.up(button=data["button"], click_count=int(data["clicks"]))
        case "wheel":
            await _point(page, data)
            await page.mouse.wheel(float(data["dx"]), float(data["dy"]))
        case "key":
            press = {"down": page.keyboard.down, "up": page.keyboard.up, "press": page.keyboard.press}
            await press[data["event"]](data["key"])
        case "text":
            await page.keyboard.insert_text(data["text"])
        case "paste":
            if await _left_to_us(page, data["text"]):
                await page.keyboard.insert_text(data["text"])


async def _point(page: Page, data: Mapping[str, Any]) -> None:
    """To where the picture shows it: fractions of the layout viewport."""
    size = page.viewport_size
    if size is not None:
        await page.mouse.move(float(data["x"]) * size["width"], float(data["y"]) * size["height"])


async def _left_to_us(page: Page, text: str) -> bool:
    with contextlib.suppress(Error):
        return bool(await page.evaluate(PASTE, text))
    return True
