"""Asks a page and its frames where numbers stand, and puts the answers together.

``boxes.js`` knows one document. A number in a frame is looked at in each document around it: it may be scrolled out of
the frame, or the frame itself may be covered.
"""

from __future__ import annotations

from typing import Any

from playwright.async_api import ElementHandle, Frame, Page
from playwright.async_api import Error as PlaywrightError

from browser_node.scraping import boxes, page_scripts
from browser_node.scraping.boxes import Answer, Box

FRAME_MARK = "data-leadfleet-frame"
"""Set by ``snapshot.js`` on the frames whose text was read."""

MAX_FRAME_DEPTH = 2

Questions = list[dict[str, Any]]


async def measure(page: Page, wanted: Questions, *, scroll: bool) -> list[Box]:
    """The boxes of ``wanted`` on ``page``, at most one a number; with ``scroll``, one of them is brought into view.

    Raises playwright's Error when the page does not answer.
    """
    answer = await _ask(page.main_frame, wanted, scroll=scroll)
    missing = _missing(wanted, answer)
    if missing and page.main_frame.child_frames:
        answer, moved = await _with_frames(page.main_frame, answer, missing, 1, scroll=scroll and not answer.shows_any)
        if moved:  # what was measured before a frame was brought into view stands elsewhere now
            return await measure(page, wanted, scroll=False)
    return boxes.on_picture(answer)


async def _with_frames(
    parent: Frame, answer: Answer, missing: Questions, depth: int, *, scroll: bool
) -> tuple[Answer, bool]:
    """``answer`` of ``parent`` with what its frames know of ``missing``, and whether they were scrolled for it."""
    moved = False
    for frame in parent.child_frames:
        if not missing or depth > MAX_FRAME_DEPTH:
            break
        try:
            element = await frame.frame_element()
            if await element.get_attribute(FRAME_MARK) is None:
                continue
            inner = await _ask(frame, missing, scroll=scroll)
            left = _missing(missing, inner)
            if left:
                inner, _ = await _with_frames(frame, inner, left, depth + 1, scroll=scroll)
            if not inner.found:
                continue
            outer = await _ask(parent, [], scroll=scroll, inside=(element, inner))
        except PlaywrightError:
            continue  # a frame that has gone or does not answer costs its own boxes only
        moved = moved or scroll
        answer = answer.joined(outer)
        missing = _missing(missing, answer)
        scroll = scroll and not outer.shows_any
    return answer, moved


async def _ask(
    frame: Frame, wanted: Questions, *, scroll: bool, inside: tuple[ElementHandle, Answer] | None = None
) -> Answer:
    """What ``frame`` says of ``wanted``, or of what the iframe ``inside`` it answered."""
    question: dict[str, Any] = {"wanted": wanted, "scroll": scroll}
    if inside is not None:
        element, answer = inside
        question["frame"] = {"element": element, **boxes.as_told(answer)}
    return boxes.read(await frame.evaluate(page_scripts.BOXES, question))


def _missing(wanted: Questions, answer: Answer) -> Questions:
    placed = {entry.key for entry in answer.found if entry.rectangle}
    return [entry for entry in wanted if entry["id"] not in placed]
