"""Where phones stand on the picture: questions to ``boxes.js`` and what its answers mean.

A page may answer anything, so every number is checked before it becomes a value.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from leads.model import Lead, Phone, PhoneCoordinates

MAX_PHONES = 60
"""The first so many numbers of a page get boxes: more do not fit on a picture, and an event stays small."""

MAX_SELECTOR = 1_000
"""Characters; a selector that was cut would find something else."""

SAME_PX = 1.5

MIN_NATIONAL_DIGITS = 6  # fewer match opening hours, prices and house numbers

_MAX_PIXELS = 10_000_000.0
_SIDES = ("x", "y", "width", "height")


ANCHORS = frozenset({"page", "viewport"})

Rectangle = tuple[float, float, float, float]
"""x, y, width, height in CSS pixels of a viewport."""


@dataclass(frozen=True, slots=True)
class Box:
    """A phone (by its ``key``), the element that holds it, and its place on the picture.

    ``coordinates`` is None for a number that the page holds and does not show: hidden, or covered by something else.
    ``seen`` says that it stands on the picture as it is, and not further up or down the page. ``anchor`` is what it
    keeps its place on while the page is scrolled, ``page`` or ``viewport``; None for what sticks at times.
    """

    key: str
    selector: str | None
    coordinates: PhoneCoordinates | None
    seen: bool = False
    anchor: str | None = None

    def as_event(self) -> dict[str, Any]:
        """As a ``coordinates`` event tells it."""
        at = self.coordinates and self.coordinates.model_dump()
        return {
            "phone": self.key, "selector": self.selector, "coordinates": at, "seen": self.seen, "anchor": self.anchor
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """A number in one document: ``rectangle`` is None where it cannot be seen, ``seen`` when it can right now."""

    key: str
    selector: str | None
    rectangle: Rectangle | None
    seen: bool
    anchor: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one document says: its viewport and scroll in CSS pixels, by how much it is magnified, its numbers."""

    viewport: tuple[float, float] = (0.0, 0.0)
    scroll: tuple[float, float] = (0.0, 0.0)
    scale: float = 1.0
    found: tuple[Found, ...] = ()

    @property
    def shows_any(self) -> bool:
        return any(found.seen for found in self.found)

    def joined(self, other: Answer) -> Answer:
        """With the numbers of ``other``, told of the same document, where it knows them better."""
        better = {found.key: found for found in other.found}
        mine = [found for found in self.found if found.rectangle is not None or found.key not in better]
        kept = {found.key for found in mine}
        return replace(self, found=(*mine, *(found for found in other.found if found.key not in kept)))


def phone_key(phone: Phone) -> str:
    """What two spellings of one number share."""
    return phone.normalized_e164 or phone.raw


def wanted(leads: Sequence[Lead]) -> list[dict[str, Any]]:
    """The phones of ``leads`` as ``boxes.js`` wants them: each number once, with the digits it may be written in."""
    found: dict[str, dict[str, Any]] = {}
    for lead in leads:
        for phone in lead.phones:
            key = phone_key(phone)
            if key not in found and len(found) < MAX_PHONES:
                found[key] = {"id": key, "raw": _plain(phone.raw), "digits": _spellings(phone)}
    return list(found.values())


def read(answer: object) -> Answer:
    """An answer of ``boxes.js``; what is not one is left out."""
    if not isinstance(answer, Mapping):
        return Answer()
    viewport, scroll, scale = _pair(answer.get("viewport")), _pair(answer.get("scroll")), _number(answer.get("scale"))
    if viewport is None or scroll is None or min(viewport) < 1 or scale is None or scale <= 0:
        return Answer()
    found = answer.get("boxes")
    entries = (_found(entry) for entry in (found if isinstance(found, list) else [])[:MAX_PHONES])
    return Answer(viewport, scroll, scale, tuple(entry for entry in entries if entry is not None))


def as_told(answer: Answer) -> dict[str, Any]:
    """``answer`` in the words of ``boxes.js``, for the document that holds the frame which gave it."""
    return {
        "viewport": list(answer.viewport),
        "boxes": [
            {
                "id": found.key,
                "seen": found.seen,
                "selector": found.selector,
                "box": found.rectangle and dict(zip(_SIDES, found.rectangle, strict=True)),
            }
            for found in answer.found
        ],
    }


def on_picture(answer: Answer) -> list[Box]:
    """The boxes of the tab's own document."""
    return [
        Box(found.key, found.selector, _coordinates(found.rectangle, answer), found.seen, found.anchor)
        for found in answer.found
    ]


def same_places(one: Sequence[Box], other: Sequence[Box]) -> bool:
    """Whether both say the same of every number, but for a pixel that a picture does not show."""
    return len(one) == len(other) and all(map(_agree, one, other))


def scroll_of(boxes: Sequence[Box]) -> tuple[float, float]:
    """How far the page was scrolled when ``boxes``, one of them seen, were measured; CSS pixels."""
    at = next(box.coordinates for box in boxes if box.coordinates is not None)
    return at.scroll_x, at.scroll_y


def placed(leads: Sequence[Lead], boxes: Sequence[Box]) -> list[Lead]:
    """``leads`` whose phones carry their boxes."""
    by_key = {box.key: box for box in boxes}
    return [
        lead.model_copy(update={"phones": [_with_box(phone, by_key.get(phone_key(phone))) for phone in lead.phones]})
        for lead in leads
    ]


def _with_box(phone: Phone, box: Box | None) -> Phone:
    if box is None:
        return phone
    selector = box.selector or phone.phone_element_selector
    return phone.model_copy(update={"phone_coordinates": box.coordinates, "phone_element_selector": selector})


def _agree(one: Box, other: Box) -> bool:
    if (one.key, one.seen, one.anchor) != (other.key, other.seen, other.anchor):
        return False
    mine, theirs = one.coordinates, other.coordinates
    if mine is None or theirs is None:
        return mine is theirs
    moved = (mine.x - theirs.x, mine.width - theirs.width, mine.y - theirs.y, mine.height - theirs.height)
    return all(abs(part) * max(mine.viewport_width, mine.viewport_height) < SAME_PX for part in moved)


def _plain(raw: str) -> str:
    return re.sub(r"\s", " ", raw)


def _spellings(phone: Phone) -> list[str]:
    """Digit runs to look for, longest first: as written, and with every prefix that one dials before a number."""
    spellings = {_digits(phone.raw)}
    if phone.normalized_e164 and phone.international:
        code = _digits(phone.international.partition(" ")[0])
        number = _digits(phone.normalized_e164).removeprefix(code)
        spellings |= {
            f"{before}{number}" for before in ("", "0", code, f"{code}0", f"00{code}", f"00{code}0", f"011{code}")
        }
    return sorted((run for run in spellings if len(run) >= MIN_NATIONAL_DIGITS), key=lambda run: (-len(run), run))


def _digits(text: str) -> str:
    """The digits of any script, as ASCII."""
    return "".join(str(unicodedata.decimal(letter)) for letter in text if letter.isdecimal())


def _found(entry: object) -> Found | None:
    if not isinstance(entry, Mapping):
        return None
    key, selector, box, anchor = entry.get("id"), entry.get("selector"), entry.get("box"), entry.get("anchor")
    if not isinstance(key, str):
        return None
    name = selector if isinstance(selector, str) and 0 < len(selector) <= MAX_SELECTOR else None
    rectangle = _rectangle(box)
    if box is not None and rectangle is None:
        return None
    kept = anchor if isinstance(anchor, str) and anchor in ANCHORS else None
    return Found(key, name, rectangle, entry.get("seen") is True and rectangle is not None, kept)


def _rectangle(box: object) -> Rectangle | None:
    if not isinstance(box, Mapping):
        return None
    x, y, width, height = (_number(box.get(side)) for side in _SIDES)
    if x is None or y is None or width is None or height is None or width <= 0 or height <= 0:
        return None
    return x, y, width, height


def _coordinates(rectangle: Rectangle | None, answer: Answer) -> PhoneCoordinates | None:
    if rectangle is None:
        return None
    x, y, width, height = rectangle
    across, down = answer.viewport
    return PhoneCoordinates(
        x=round(x / across, 6),
        y=round(y / down, 6),
        width=round(width / across, 6),
        height=round(height / down, 6),
        absolute_x=round(x / answer.scale + answer.scroll[0], 2),
        absolute_y=round(y / answer.scale + answer.scroll[1], 2),
        viewport_width=round(across),
        viewport_height=round(down),
        scroll_x=answer.scroll[0],
        scroll_y=answer.scroll[1],
    )


def _pair(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    first, second = _number(value[0]), _number(value[1])
    return None if first is None or second is None else (first, second)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) <= _MAX_PIXELS else None
