"""Where phones stand on the picture: questions to ``boxes.js`` and what its answers mean.

A page may answer anything, so every number is checked before it becomes a value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from leads.model import Lead, Phone, PhoneCoordinates

MAX_PHONES = 60
MIN_NATIONAL_DIGITS = 6  # fewer match opening hours, prices and house numbers

_MAX_PIXELS = 10_000_000.0


@dataclass(frozen=True, slots=True)
class Box:
    """A phone (by its ``key``), the element that holds it, and its place."""

    key: str
    selector: str | None
    coordinates: PhoneCoordinates


@dataclass(frozen=True, slots=True)
class FrameOffset:
    """Where a frame's own viewport begins in the tab's, CSS pixels, and the tab's viewport and scroll."""

    x: float
    y: float
    viewport: tuple[float, float]
    scroll: tuple[float, float]


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


def read(answer: object, offset: FrameOffset | None = None) -> list[Box]:
    """The boxes in an answer of ``boxes.js``; what is not one is left out. ``offset`` when a child frame answered."""
    if not isinstance(answer, Mapping):
        return []
    viewport, scroll = _pair(answer.get("viewport")), _pair(answer.get("scroll"))
    if viewport is None or scroll is None:
        return []
    frame = offset or FrameOffset(0.0, 0.0, viewport, scroll)
    if min(frame.viewport) < 1:
        return []
    found = answer.get("boxes")
    boxes = (_box(entry, frame) for entry in (found if isinstance(found, list) else [])[:MAX_PHONES])
    return [box for box in boxes if box is not None]


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


def _plain(raw: str) -> str:
    return re.sub(r"\s", " ", raw)


def _spellings(phone: Phone) -> list[str]:
    """Digit runs to look for, longest first: as written, in full, and without the country code."""
    spellings = {re.sub(r"\D", "", phone.raw)}
    if phone.normalized_e164 and phone.international:
        spellings.add(phone.normalized_e164.lstrip("+"))
        country, _, national = phone.international.partition(" ")
        if country.startswith("+"):
            spellings.add(re.sub(r"\D", "", national))
    return sorted((run for run in spellings if len(run) >= MIN_NATIONAL_DIGITS), key=len, reverse=True)


def _box(entry: object, frame: FrameOffset) -> Box | None:
    if not isinstance(entry, Mapping):
        return None
    numbers = [_number(entry.get(name)) for name in ("x", "y", "width", "height")]
    key, selector = entry.get("id"), entry.get("selector")
    if not isinstance(key, str) or any(number is None for number in numbers):
        return None
    x, y, width, height = (number or 0.0 for number in numbers)
    x, y = x + frame.x, y + frame.y
    across, down = frame.viewport
    coordinates = PhoneCoordinates(
        x=round(x / across, 6),
        y=round(y / down, 6),
        width=round(width / across, 6),
        height=round(height / down, 6),
        absolute_x=round(x + frame.scroll[0], 2),
        absolute_y=round(y + frame.scroll[1], 2),
        viewport_width=round(across),
        viewport_height=round(down),
        scroll_x=frame.scroll[0],
        scroll_y=frame.scroll[1],
    )
    return Box(key, selector[:1_000] if isinstance(selector, str) and selector else None, coordinates)


def _pair(value: object) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    first, second = _number(value[0]), _number(value[1])
    return None if first is None or second is None else (first, second)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and abs(value) <= _MAX_PIXELS else None
