"""The box that is told of a number lies over its pixels on the picture that a viewer gets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.integration.boxes.conftest import Shown, Studio
from tests.integration.boxes.shapes import COLOUR, E164, NUMBER, SHAPES, SPACER, N, Shape, page

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAIN = Shape("plain", page(f"<p>{N}</p>"))

WHOLE_UNITS = [
    "in a fixed header", "in a scrolled container", "iframe of another origin", "zoom", "shadow tree", "right to left",
    "turned a little", "several lines", "device scale factor 2", "cookie banner that is accepted",
]  # fmt: skip


def check(shown: Shown, folder: Path, *, seen: bool = True) -> None:
    """The number's box covers it and little else, or there is none; else the picture is kept for people."""
    box = shown.phones[E164].phone_coordinates
    if box is None:
        fault = "there is no box" if seen else None
    else:
        fault = shown.overlay.fault(box, COLOUR) if seen else "nobody can see that number"
    if fault:
        path = shown.overlay.save(folder / "picture.jpg", *([box] if box else []))
        pytest.fail(f"{fault}: {path}", pytrace=False)
    if box is not None:
        frame = shown.frame
        assert (box.scroll_x, box.scroll_y) == pytest.approx((frame.scroll_x, frame.scroll_y), abs=1)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.seen], ids=str)
async def test_a_box_lies_over_the_number_and_its_element_is_named(
    studio: Studio, shape: Shape, tmp_path: Path
) -> None:
    shown = await studio.look(shape)
    check(shown, tmp_path)
    said = await studio.named(shown.phones[E164].phone_element_selector or "")
    assert "3023125852" in re.sub(r"\D", "", said)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not shape.seen], ids=str)
async def test_what_the_picture_does_not_show_has_no_box_and_its_element_is_named(
    studio: Studio, shape: Shape, tmp_path: Path
) -> None:
    shown = await studio.look(shape)
    check(shown, tmp_path, seen=False)
    assert not shown.overlay.shows(COLOUR) or shape.name == "blurred"
    assert NUMBER in await studio.named(shown.phones[E164].phone_element_selector or "")


async def test_each_box_is_its_own_numbers(studio: Studio, tmp_path: Path) -> None:
    """They begin alike, one goes on where another ends, and one is part of a line with another."""
    colours = {"+493023125852": (255, 0, 255), "+493023125853": (0, 0, 255), "+4930231258521": (0, 160, 0)}
    shown = await studio.look(Shape("three", page(
        "<p><span class=n style='color:#00a000'>+49 30 23125852-1</span></p>"
        f"<p>{N} / <span class=n style='color:#00f'>+49 30 23125853</span></p>")))  # fmt: skip
    for e164, colour in colours.items():
        box = shown.phones[e164].phone_coordinates
        assert box is not None, e164
        fault = shown.overlay.fault(box, colour)
        if fault:
            shown.overlay.save(tmp_path / "picture.jpg", box)
        assert fault is None, f"{e164}: {fault}; see {tmp_path}"


async def test_a_number_further_down_is_told_of_where_it_stands_on_the_page(studio: Studio) -> None:
    """And not of where another one begins like it."""
    html = page(f"<p>+49 30 23125852-1</p>{SPACER}<p>{N}</p>{SPACER}")
    shown = await studio.run(Shape("two", html))
    boxes = {box["phone"]: box for box in shown.told[0]["boxes"]}
    assert boxes["+4930231258521"]["seen"]
    further = boxes[E164]
    assert not further["seen"]
    assert further["coordinates"]["y"] > 1
    assert further["coordinates"]["absolute_y"] > 1_800
    assert shown.frame.scroll_y == further["coordinates"]["scroll_y"] == 0


async def test_boxes_are_measured_again_when_the_page_moves_before_its_picture(studio: Studio, tmp_path: Path) -> None:
    moved = []

    async def push_down(tab: Page) -> None:
        if not moved:
            moved.append(
                await tab.evaluate("document.body.insertAdjacentHTML('afterbegin', '<p style=height:200px>!')")
            )

    shown = await studio.run(PLAIN, before_picture=push_down)
    check(shown, tmp_path)
    assert shown.told[0]["frame_seq"] > 0


async def test_a_page_that_never_stands_still_is_told_without_a_picture(studio: Studio) -> None:
    async def push_down(tab: Page) -> None:
        await tab.evaluate("document.body.insertAdjacentHTML('afterbegin', '<p style=height:20px>!')")

    shown = await studio.run(PLAIN, before_picture=push_down)
    (event,) = shown.told
    assert event["frame_seq"] == 0
    assert len(event["boxes"]) == 1


async def test_without_viewers_no_picture_is_waited_for(studio: Studio) -> None:
    (event,) = await studio.run_unwatched(PLAIN)
    assert event["frame_seq"] == 0
    assert [box["phone"] for box in event["boxes"]] == [E164]


async def test_boxes_are_taken_back_when_their_tab_goes_on(studio: Studio) -> None:
    second = page("<p>Nothing here")
    shown = await studio.run(
        Shape("two pages", page(f"<p>{N} <a href=/contact>Contact</a></p>"), frames={"/contact": second})
    )
    first, last = shown.told
    assert (len(first["boxes"]), last["boxes"]) == (1, [])
    assert (first["tab"], first["url"]) == (last["tab"], last["url"])
    assert last["frame_seq"] == 0


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.name in WHOLE_UNITS], ids=str)
async def test_a_unit_tells_the_boxes_of_a_picture_that_its_viewers_have(
    studio: Studio, shape: Shape, tmp_path: Path
) -> None:
    shown = await studio.run(shape)
    check(shown, tmp_path)
    (event,) = shown.told
    assert 0 < event["frame_seq"] <= shown.frame.seq
    (box,) = event["boxes"]
    told = shown.phones[E164]
    assert told.phone_coordinates is not None
    assert (box["phone"], box["selector"]) == (E164, told.phone_element_selector)
    assert (box["coordinates"], box["seen"]) == (told.phone_coordinates.model_dump(), True)
