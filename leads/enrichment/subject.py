"""What a language model is told of a lead: what describes the business, and nothing that reaches a person.

Numbers, addresses of persons and streets stay here: a category and a sentence need none of them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import orjson

from leads.domains import own_domain
from leads.model import Lead
from leads.score import known_objective

MAX_NAME, MAX_DESCRIPTION, MAX_CATEGORY, MAX_CATEGORIES = 120, 600, 60, 8
"""Letters that are sent: some 250 tokens a lead at the most."""

VERSION = 1
"""Of the question. Another one makes all leads new to the model, so it changes with the prompt's meaning only."""

_MAIL = re.compile(r"[^\s@]{1,64}@[^\s@]{1,255}")
_NUMBER = re.compile(r"\+?\d[\d\s()./-]{5,30}\d")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Subject:
    """A lead as it is described to a model. ``facts`` is plain JSON, bounded; equal facts are asked about once."""

    facts: dict[str, object]
    objective: str | None

    @property
    def weight(self) -> int:
        """How much there is to go by, in bytes: of two pages about one lead, the fuller one is sent."""
        return len(orjson.dumps(self.facts))


def subject_of(lead: Lead, objective: str | None) -> Subject:
    """What of ``lead`` is sent. The order of its fields is fixed."""
    address = lead.address
    facts: dict[str, object] = {
        "name": _clean(lead.display_name, MAX_NAME),
        "categories": [_clean(category, MAX_CATEGORY) for category in lead.categories[:MAX_CATEGORIES]],
        "description": _clean(lead.description, MAX_DESCRIPTION),
        "city": _clean(address.city if address else None, MAX_CATEGORY),
        "country": _clean(address.country if address else None, MAX_CATEGORY),
        "domain": own_domain(lead.website),
        "rating": lead.rating,
        "reviews": lead.review_count,
        "has": [
            name
            for name, there in (
                ("phone", lead.phones),
                ("email", lead.emails),
                ("website", lead.website),
                ("socials", lead.socials),
                ("opening_hours", lead.opening_hours),
            )
            if there
        ],
    }
    return Subject({name: value for name, value in facts.items() if value not in (None, "", [])},
                   known_objective(objective))  # fmt: skip


def digest_of(subject: Subject) -> str:
    """Names the question: the same facts and objective have the same digest, whoever asks and whenever.

    Rating and reviews are left out: they change every day, and what a business is does not.
    """
    told = {name: value for name, value in subject.facts.items() if name not in ("rating", "reviews")}
    return hashlib.sha256(orjson.dumps([VERSION, subject.objective, told])).hexdigest()[:24]


def _clean(text: str | None, length: int) -> str:
    """Without addresses of persons, numbers and control characters; cut to a length."""
    plain = _CONTROL.sub(" ", (text or "")[: 2 * length])
    return _NUMBER.sub("(number)", _MAIL.sub("(e-mail)", plain)).strip()[:length]
