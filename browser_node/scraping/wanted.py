"""Which businesses a task asks for: reachable, of a kind, at a place. Pure.

What a page says can speak against a lead; what it leaves unsaid cannot. So a business whose category or address is
not known is kept, and only one that is known to be something else, or somewhere else, is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leads.identity import fold_name
from leads.model import Address, Geo, Lead, Validation

EARTH_RADIUS_KM = 6_371.0

DEFAULT_RADIUS_KM = 25.0
"""Around coordinates that come without a radius: a city and its outskirts."""

MAX_KINDS = 50

_COORDINATES = re.compile(r"\s*(-?\d{1,2}(?:\.\d{1,9})?)\s*[,;]\s*(-?\d{1,3}(?:\.\d{1,9})?)\s*")

# schema.org's words for "a business of some kind"
_GENERIC = frozenset(
    {"organization", "localbusiness", "corporation", "place", "store", "website", "business", "company"}
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """``lead in wanted``: whether the task asked for such a business.

    ``kinds`` are words for its category ("dentist"); ``location`` is ``"latitude,longitude"``, within ``radius_km`` of
    which it must be, or a place in words, most specific first ("Berlin, Germany").
    """

    phone_only: bool = False
    kinds: tuple[str, ...] = ()
    location: str = ""
    radius_km: float = DEFAULT_RADIUS_KM

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Wanted:
        """The part of ``Run.options`` that is about leads; what is absent or of another type asks for nothing."""
        kinds, location, radius = raw.get("business_type"), raw.get("location"), raw.get("radius_km")
        return cls(
            phone_only=raw.get("phone_only") is True,
            kinds=tuple(kind for kind in kinds if isinstance(kind, str))[:MAX_KINDS] if isinstance(kinds, list) else (),
            location=location if isinstance(location, str) else "",
            radius_km=float(radius) if isinstance(radius, int | float) and radius > 0 else DEFAULT_RADIUS_KM,
        )

    def __contains__(self, lead: Lead) -> bool:
        return self._is_reachable(lead) and self._may_be_of_kind(lead) and self._may_be_there(lead)

    def _is_reachable(self, lead: Lead) -> bool:
        if self.phone_only:
            return any(phone.validation_status is Validation.VALID for phone in lead.phones)
        return bool(lead.phones or lead.emails or (lead.address is not None and lead.address.street))

    def _may_be_of_kind(self, lead: Lead) -> bool:
        told = {_stem(category) for category in lead.categories} - _GENERIC_STEMS
        if not self.kinds or not told:
            return True
        named = f"{_stem(lead.display_name or '')} {_stem(lead.description or '')}"
        return any(
            kind in named or any(kind in category or category in kind for category in told)
            for kind in map(_stem, self.kinds)
            if kind
        )

    def _may_be_there(self, lead: Lead) -> bool:
        centre = _coordinates(self.location)
        if centre is not None:
            return lead.geo is None or distance_km(centre, lead.geo) <= self.radius_km
        place = fold_name(self.location.partition(",")[0])
        known = _places(lead.address)
        return not place or not known or any(place == name or f" {place} " in f" {name} " for name in known)


def distance_km(one: Geo, other: Geo) -> float:
    """Great-circle distance."""
    a, b = math.radians(one.latitude), math.radians(other.latitude)
    turn = math.radians(other.longitude - one.longitude)
    part = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(turn / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(part)))


def _coordinates(text: str) -> Geo | None:
    found = _COORDINATES.fullmatch(text)
    if found is None or abs(float(found[1])) > 90 or abs(float(found[2])) > 180:
        return None
    return Geo(latitude=float(found[1]), longitude=float(found[2]))


def _places(address: Address | None) -> list[str]:
    """What a lead's address could be called by; empty when it does not say in which town it is."""
    if address is None or not (address.city or address.postal_code):
        return []
    parts = (address.city, address.region, address.postal_code, address.country)
    return [name for part in parts if part and (name := fold_name(part))]


def _stem(text: str) -> str:
    """Letters only, each word without its plural: ``"Auto_Repair"`` and ``"auto repairs"`` are the same kind."""
    return "".join(re.sub(r"(?<=\w{3})s\b", "", word) for word in re.findall(r"[^\W\d_]+", text.casefold()))


_GENERIC_STEMS = frozenset(map(_stem, _GENERIC))
