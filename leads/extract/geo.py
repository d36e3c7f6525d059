"""Where on Earth: coordinates from structured data, metas and the addresses of maps."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from leads.extract.document import Document
from leads.model import Geo

_NUMBER = re.compile(r"-?\d{1,9}(?:[.,]\d{1,12})?")
_POSITION = re.compile(r"\s{0,3}(-?\d{1,2}\.\d{1,12})\s{0,3}[;,]\s{0,3}(-?\d{1,3}\.\d{1,12})")
_MAP_POINT = (
    re.compile(r"[@=]\s?(?P<lat>-?\d{1,2}\.\d{3,12})(?:,|%2C)(?P<lng>-?\d{1,3}\.\d{3,12})", re.IGNORECASE),
    re.compile(r"!2d(?P<lng>-?\d{1,3}\.\d{3,18})!3d(?P<lat>-?\d{1,2}\.\d{3,18})"),
)


def make_geo(latitude: float | None, longitude: float | None) -> Geo | None:
    """A place on Earth, ``None`` for what is off it or the (0, 0) of empty templates."""
    if latitude is None or longitude is None or (latitude == 0 and longitude == 0):
        return None
    return Geo(latitude=latitude, longitude=longitude) if abs(latitude) <= 90 and abs(longitude) <= 180 else None


def number_of(text: str | None) -> float | None:
    """The first decimal number in ``text``, a comma read as the decimal point."""
    found = _NUMBER.search(text) if text else None
    value = float(found.group().replace(",", ".")) if found else None
    return value if value is None or math.isfinite(value) else None


def geo_in_text(text: str) -> Geo | None:
    """``"52.52;13.40"`` and ``"52.52, 13.40"``."""
    found = _POSITION.match(text)
    return make_geo(float(found[1]), float(found[2])) if found else None


def geo_of_map(url: str) -> Geo | None:
    """The point that the address of a map shows."""
    for pattern in _MAP_POINT:
        point = pattern.search(url[:2_000])
        if point:
            return make_geo(float(point["lat"]), float(point["lng"]))
    return None


def page_geo(document: Document) -> Geo | None:
    """The place that the page's metas name or its first map shows."""
    told = geo_in_text(document.metas.get("geo.position") or document.metas.get("icbm") or "")
    return told or next((geo for url in _map_addresses(document) if (geo := geo_of_map(url))), None)


def _map_addresses(document: Document) -> Iterator[str]:
    for frame in document.root.iter("iframe"):
        if "map" in (frame.get("src") or ""):
            yield frame.get("src")
    for link in document.links:
        if "map" in link.url:
            yield link.url
