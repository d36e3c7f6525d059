"""Boxes follow their numbers while a page is open: scrolled by who has the wheel, moved by itself, left by a link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from fleet.messages import Frame, Input, Run, Steer
from leads.model import PhoneCoordinates
from tests.integration.boxes.conftest import NODE, WATCH_S, Studio
from tests.integration.boxes.picture import Colour, Overlay
from tests.integration.boxes.shapes import SPACER, Shape, page
from tests.support import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIXED, FLOW, STUCK, INNER = "+493023125801", "+493023125802", "+493023125803", "+493023125804"
COLOURS: dict[str, Colour] = {FIXED: (255, 0, 255), FLOW: (0, 0, 255), STUCK: (255, 0, 0), INNER: (0, 160, 0)}


def number(e164: str) -> str:
    colour = "#{:02x}{:02x}{:02x}".format(*COLOURS[e164])
    return f"<span class=n style='color:{colour}'>+49 30 {e164[5:]}</span>"


PAGE = page(
    f"<header style='position:fixed;top:0;left:0;right:0;height:50px;background:#eee'>{number(FIXED)}</header>"
    f"<p style='margin:300px 0 0'>{number(FLOW)}</p><div style='height:40px'></div>"
    f"<div style='position:sticky;top:60px'>{number(STUCK)}</div>"
    "<div id=list style='position:absolute;left:640px;top:420px;width:500px;height:250px;overflow:auto'>"
    f"<div style='height:120px'></div>{number(INNER)}{SPACER}</div>{SPACER}"
    "<a href=/next style='position:fixed;right:0;bottom:0;width:128px;height:72px;background:#ccc'>Next</a>"
)


@dataclass
class Visit:
    """A unit that waits on its page while somebody has the wheel."""

    studio: Studio
    order: Run

    async def does(self, what: str, **data: Any) -> None:
        await self.studio.control.tell(NODE, Input(self.order.boot, 0, self.order.unit, what, data))

    async def scrolls(self, dy: float, x: float = 0.1, y: float = 0.5) -> None:
        await self.does("wheel", x=x, y=y, dx=0, dy=dy)

    async def told(self, which: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The last event, once it is one of which ``which`` holds."""

        def last() -> dict[str, Any] | None:
            told = self.studio.told(self.order)
            return told[-1] if told and which(told[-1]) else None

        return await wait_until(last, 20, what)

    async def frame(self, told: dict[str, Any]) -> Frame:
        """A picture that the boxes of an event belong to."""

        async def newest() -> Frame | None:
            frame = await self.studio.control.frame(NODE)
            return frame if frame is not None and frame.seq >= told["frame_seq"] else None

        return await wait_until(newest, 20, f"the picture {told['frame_seq']}")


@asynccontextmanager
async def visited(studio: Studio, html: str, *, watched: bool = True) -> AsyncIterator[Visit]:
    """The page is asked for, somebody takes the wheel, then it comes."""
    asked, come = asyncio.Event(), asyncio.Event()

    async def answer(_: web.Request) -> web.StreamResponse:
        asked.set()
        await come.wait()
        return web.Response(text=f"<!doctype html>{html}", content_type="text/html")

    order = await studio.begin(Shape("steered", ""), watched=watched)
    studio.site.pages |= {"kim.test/": answer, "kim.test/next": page(f"<p>{number(FLOW)}")}
    await asyncio.wait_for(asked.wait(), 20)
    await studio.control.tell(NODE, Steer(order.boot, 0, order.unit, 60, "a test"))
    come.set()
    yield Visit(studio, order)
    await studio.control.tell(NODE, Steer(order.boot, 0, order.unit, 0, "a test"))
    await studio.control.ended(order)


def places(told: dict[str, Any]) -> dict[str, PhoneCoordinates]:
    return {box["phone"]: PhoneCoordinates(**box["coordinates"]) for box in told["boxes"] if box["seen"]}


def check(told: dict[str, Any], frame: Frame, *phones: str) -> None:
    overlay, boxes = Overlay.of(frame.jpeg), places(told)
    assert {phone: phone in boxes and overlay.fault(boxes[phone], COLOURS[phone]) for phone in phones} == dict.fromkeys(
        phones
    )


async def test_boxes_follow_what_is_scrolled_and_go_with_their_page(studio: Studio) -> None:
    async with visited(studio, PAGE) as visit:
        first = await visit.told(lambda told: told["frame_seq"] > 0, "boxes")
        check(first, await visit.frame(first), *COLOURS)
        anchors = {box["phone"]: box["anchor"] for box in first["boxes"]}
        assert anchors == {FIXED: "viewport", FLOW: "page", STUCK: None, INNER: "page"}

        await visit.scrolls(200)
        second = await visit.told(
            lambda told: told["frame_seq"] > 0 and places(told)[FIXED].scroll_y == 200, "boxes at 200 px"
        )
        check(second, await visit.frame(second), *COLOURS)
        before, after = places(first), places(second)
        assert after[FIXED].y == before[FIXED].y
        assert after[FLOW].y == pytest.approx(before[FLOW].y - 200 / 720, abs=0.002)  # as viewers carry it along

        await visit.scrolls(60, x=0.7, y=0.5)
        third = await visit.told(
            lambda told: told["frame_seq"] > 0 and places(told)[INNER].y < after[INNER].y - 0.08, "the list's box"
        )
        check(third, await visit.frame(third), *COLOURS)
        assert places(third)[FLOW] == after[FLOW]

        for event in ("down", "up"):
            await visit.does("pointer", event=event, x=0.95, y=0.95, button="left", clicks=1)
        last = await visit.told(lambda told: told["url"].endswith("/next") and told["frame_seq"] > 0, "the next page")
        check(last, await visit.frame(last), FLOW)
        gone = studio.told(visit.order)[-2]
        assert (gone["boxes"], gone["frame_seq"]) == ([], 0), "the boxes go with their page, before others come"


async def test_who_comes_later_sees_the_boxes_of_a_page_that_is_open(studio: Studio) -> None:
    async with visited(studio, PAGE, watched=False) as visit:
        untold = await visit.told(lambda told: len(told["boxes"]) == len(COLOURS), "boxes without a picture")
        assert untold["frame_seq"] == 0
        await studio.watch(WATCH_S)
        told = await visit.told(lambda told: told["frame_seq"] > 0, "boxes on a picture")
        check(told, await visit.frame(told), *COLOURS)


async def test_a_page_that_stands_still_is_not_asked_again(studio: Studio) -> None:
    """A look makes no picture, so that it is not the reason for another one."""
    async with visited(studio, PAGE) as visit:
        told = await visit.told(lambda told: told["frame_seq"] > 0, "boxes")
        await visit.does("text", text="x")  # nothing on the page takes it
        frames = [(await visit.frame(told)).seq]

        async def settled() -> bool:
            """The same picture in ten looks, longer than the node waits between two of its own."""
            frames.append((await visit.frame(told)).seq)
            await asyncio.sleep(0.1)
            return len(frames) > 10 and len(set(frames[-10:])) == 1

        await wait_until(settled, 20, "the pictures to end")
        assert visit.studio.told(visit.order) == [told]
