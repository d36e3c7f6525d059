"""How promising a lead is: 0 to 100 with its reasons, so that a seller can see why and disagree.

Points are given for what can be acted on: a number that rings, a desk that reads mail, an address to visit,
signs that the business is alive. An objective shifts the weights; it never invents points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from leads.model import Lead, Validation

Band = Literal["hot", "warm", "cold"]

HOT, WARM = 65, 35  # hot: can be called and placed today; warm: one thing is missing; cold: research first

LEAD_OBJECTIVES: list[dict[str, str]] = [
    {"value": "cold_calling", "label": "Call prospects"},
    {"value": "email_outreach", "label": "Write to prospects"},
    {"value": "field_sales", "label": "Visit prospects"},
    {"value": "web_services", "label": "Sell websites and online presence"},
    {"value": "local_marketing", "label": "Sell reviews, listings and local advertising"},
    {"value": "partnerships", "label": "Find partners and resellers"},
]


@dataclass(frozen=True, slots=True)
class _Sign:
    """One observable fact: what it is worth without an objective, and in words."""

    name: str
    holds: Callable[[Lead], bool]
    points: int
    reason: str


def _has_valid_phone(lead: Lead) -> bool:
    return any(phone.validation_status is Validation.VALID and phone.kind != "fax" for phone in lead.phones)


def _can_be_reached(lead: Lead) -> bool:
    """What a lead lacks is a chance only where somebody can be told of it."""
    return bool(lead.emails) or _has_valid_phone(lead)


def _has_mobile(lead: Lead) -> bool:
    return any(phone.line_type == "mobile" and phone.validation_status is Validation.VALID for phone in lead.phones)


def _has_personal_email(lead: Lead) -> bool:
    return any(email.kind == "personal" for email in lead.email_details)


def _has_full_address(lead: Lead) -> bool:
    return bool(lead.address and lead.address.street and (lead.address.city or lead.address.postal_code))


def _has_many_reviews(lead: Lead) -> bool:
    return (lead.review_count or 0) >= 20  # below, a rating is a handful of friends


def _is_rated_badly(lead: Lead) -> bool:
    return lead.rating is not None and lead.rating < 3.5 and (lead.review_count or 0) >= 5


_SIGNS: tuple[_Sign, ...] = (
    _Sign("phone", _has_valid_phone, 30, "has a valid phone number"),
    _Sign("mobile", _has_mobile, 4, "a mobile number is among them"),
    _Sign("email", lambda lead: bool(lead.emails), 18, "has an e-mail address"),
    _Sign("person", _has_personal_email, 4, "an address of a person is among them"),
    _Sign("address", _has_full_address, 14, "has a full postal address"),
    _Sign("website", lambda lead: bool(lead.website), 10, "has a website"),
    _Sign("no_website", lambda lead: _can_be_reached(lead) and not lead.website, 0, "has no website"),
    _Sign("name", lambda lead: bool(lead.display_name), 8, "its name is known"),
    _Sign("socials", lambda lead: bool(lead.socials), 4, "is on social networks"),
    _Sign("no_socials", lambda lead: _can_be_reached(lead) and not lead.socials, 0, "is not on social networks"),
    _Sign("hours", lambda lead: bool(lead.opening_hours), 4, "tells its opening hours"),
    _Sign("reviews", _has_many_reviews, 4, "has many reviews"),
    _Sign("bad_rating", _is_rated_badly, 0, "its rating is low"),
)

# What an objective changes, in points of a sign; the total is scaled back to 100.
_SHIFTS: dict[str, dict[str, int]] = {
    "cold_calling": {"phone": 55, "mobile": 10, "email": 6, "address": 8, "website": 4},
    "email_outreach": {"phone": 8, "email": 55, "person": 10, "website": 10},
    "field_sales": {"phone": 22, "email": 6, "address": 40, "hours": 10, "website": 4},
    "web_services": {"phone": 28, "email": 12, "website": 0, "no_website": 30, "no_socials": 8, "socials": 0},
    "local_marketing": {"phone": 26, "bad_rating": 15, "no_socials": 8, "socials": 0, "reviews": 8, "address": 18},
    "partnerships": {"phone": 20, "email": 24, "person": 8, "website": 18, "socials": 8, "reviews": 8},
}
# Bonuses on top of what makes a lead complete: their lack is no flaw, so they do not count against the total.
_BONUSES = ("mobile", "person", "reviews", "bad_rating", "no_socials")
# Of alternatives only one can hold: the worse one must not count against the possible total.
_ALTERNATIVES = (("website", "no_website"), ("socials", "no_socials"))


def score(lead: Lead, objective: str | None = None) -> tuple[int, Band, list[str]]:
    """The score 0 to 100, its band, and a reason for each part of it, weightiest first.

    ``objective`` is one of `LEAD_OBJECTIVES`; an unknown one counts as none, because an old task may name one that
    is no longer offered.
    """
    weights = {sign.name: sign.points for sign in _SIGNS} | _SHIFTS.get(objective or "", {})
    possible = sum(points for name, points in weights.items() if name not in _BONUSES)
    possible -= sum(min(weights[a], weights[b]) for a, b in _ALTERNATIVES if b not in _BONUSES)
    earned = [(weights[sign.name], sign.reason) for sign in _SIGNS if weights[sign.name] and sign.holds(lead)]
    total = min(100, round(100 * sum(points for points, _ in earned) / possible))
    reasons = [f"{reason} (+{round(100 * points / possible)})" for points, reason in sorted(earned, reverse=True)]
    if not _has_valid_phone(lead) and weights["phone"]:
        reasons.append("no valid phone number")
    return total, band_of(total), reasons[:20]


def fit(lead: Lead, objective: str | None) -> int | None:
    """How well a lead suits an objective, 0 to 100: what of the signs that matter more to it than to others it shows.

    ``None`` where there is no objective to suit.
    """
    usual = {sign.name: sign.points for sign in _SIGNS}
    own = {name: points for name, points in _SHIFTS.get(objective or "", {}).items() if points > usual[name]}
    if not own:
        return None
    earned = sum(own[sign.name] for sign in _SIGNS if sign.name in own and sign.holds(lead))
    return round(100 * earned / sum(own.values()))


def known_objective(objective: str | None) -> str | None:
    """``objective`` if it is one of `LEAD_OBJECTIVES`, else ``None``."""
    return objective if objective in _SHIFTS else None


def band_of(points: int) -> Band:
    """``hot``, ``warm`` or ``cold``."""
    return "hot" if points >= HOT else "warm" if points >= WARM else "cold"
