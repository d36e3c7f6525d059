"""Tells viewers where the phones of the pages that are open stand, and again when that changes, as long as somebody
watches: a page is scrolled by its scripts, by who has the wheel, and moves by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from playwright.async_api import Frame

from browser_node.scraping.boxes import Box, same_places
from browser_node.scraping.tab import Tab
from browser_node.scraping.types import Stage, UnitOut

EVERY = timedelta(milliseconds=250)
"""Between two looks at a page that changes: viewers carry boxes along with the scroll meanwhile."""

REST = 20
"""A look is followed by so many times its own length without one: following takes 5 % of a page's thread at most."""


@dataclass(slots=True)
class _Page:
    """What a tab shows, and what was told of it last; ``frame_seq`` is 0 while no viewer draws its boxes."""

    tab: Tab
    url: str
    wanted: list[dict[str, Any]]
    found: Sequence[Box]
    frame_seq: int


class ShownBoxes:
    """The ``coordinates`` events of one unit; ``follow`` makes those that nobody asked for."""

    def __init__(self, unit: str, out: UnitOut, stage: Stage) -> None:
        self._unit, self._out, self._stage = unit, out, stage
        self._pages: dict[Tab, _Page] = {}
        self._known: set[Tab] = set()

    def read(
        self, tab: Tab, url: str, wanted: Sequence[dict[str, Any]], found: Sequence[Box], frame_seq: int
    ) -> list[dict[str, Any]]:
        """The events that tell of a page that was read. It is followed until its tab has ``left`` it."""
        if tab not in self._known:
            self._known.add(tab)
            tab.page.on("framenavigated", lambda frame: self._navigated(tab, frame))
        self._pages[tab] = page = _Page(tab, url, list(wanted), found, frame_seq)
        return [self._event(page)] if any(box.coordinates for box in found) else []

    def left(self, tab: Tab) -> list[dict[str, Any]]:
        """The events for viewers who have boxes on ``tab``, which leaves the page that they lie on."""
        page = self._pages.pop(tab, None)
        return [self._taken_back(page)] if page is not None and page.frame_seq else []

    async def follow(self) -> None:
        """Look again at what pictures show and tell what has changed, until cancelled."""
        seq = 0
        while True:
            seq, shown = await self._stage.next_picture(seq)
            page = next((page for page in self._pages.values() if page.tab.page is shown and page.wanted), None)
            if page is not None:
                took = await self._look(page)
                await asyncio.sleep(max(EVERY.total_seconds(), REST * took))

    async def _look(self, page: _Page) -> float:
        """How long the page took to say where its phones stand, in seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await page.tab.measure(page.wanted, scroll=False)
        took = loop.time() - began
        told = page.frame_seq > 0 and same_places(page.found, found)
        if not told and (page.frame_seq or any(box.seen for box in found)):
            found, seq = await page.tab.measure_on_picture(page.wanted, self._stage, scroll=False)
            if self._pages.get(page.tab) is page and (seq or page.frame_seq):
                page.url, page.found, page.frame_seq = page.tab.page.url, found, seq
                self._out.put(events=[self._event(page)])
        return took

    def _navigated(self, tab: Tab, frame: Frame) -> None:
        """What the boxes lay on may be gone; if it is not, the next picture brings them back."""
        page = self._pages.get(tab)
        if page is not None and page.frame_seq and frame == tab.page.main_frame:
            page.frame_seq = 0
            self._out.put(events=[self._taken_back(page)])

    def _taken_back(self, page: _Page) -> dict[str, Any]:
        page.found, page.frame_seq = (), 0
        page.url = page.tab.page.url
        return self._event(page)

    def _event(self, page: _Page) -> dict[str, Any]:
        data = {
            "unit": self._unit,
            "tab": page.tab.name,
            "url": page.url,
            "boxes": [box.as_event() for box in page.found if box.coordinates is not None],
            "frame_seq": page.frame_seq,
        }
        return {"kind": "coordinates", "data": data}
