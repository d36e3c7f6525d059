"""The businesses a unit knows so far, so that one seen on several pages is one lead that grows.

Pure: the ledger is read from and written to the source's state (``l<n>`` → lead as JSON). What is decided here is
only "the same business of the same site"; who is who over all sites is the lead store's to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from leads.model import Lead, Phone, Validation

MAX_KNOWN = 60
"""Businesses of one site that are followed over its pages; chains with more shops have one page for each."""

_SINGLE = ("website", "address", "geo", "rating", "review_count", "description", "logo")
_VALIDITY = (Validation.INVALID, Validation.POSSIBLE, Validation.VALID)


def has_contact(lead: Lead, *, phone_only: bool = False) -> bool:
    """Whether a lead is worth telling: somebody can be reached by it, by a valid phone if that is asked for."""
    if phone_only:
        return any(phone.validation_status is Validation.VALID for phone in lead.phones)
    return bool(lead.phones or lead.emails or (lead.address is not None and lead.address.street))


def substance(lead: Lead) -> str:
    """What a lead says, without where, when and how surely it was found: equal texts tell nothing new."""
    told = lead.model_dump(
        mode="json",
        include={*_SINGLE, "display_name", "categories", "opening_hours", "socials"} - {"logo"},
        exclude_none=True,
    )
    told["phones"] = sorted((_key(phone), phone.kind, phone.extension or "") for phone in lead.phones)
    told["emails"] = sorted(lead.emails)
    return json.dumps(told, sort_keys=True, ensure_ascii=False)


def merge(known: Lead, seen: Lead) -> Lead:
    """``known`` with all that ``seen`` adds; where both speak, what was known stays, unless the other is surer."""
    update: dict[str, Any] = {
        "phones": _phones(known.phones, seen.phones),
        "emails": list(dict.fromkeys([*known.emails, *seen.emails]))[:50],
        "email_details": list({e.address: e for e in [*seen.email_details, *known.email_details]}.values())[:50],
        "categories": list(dict.fromkeys([*known.categories, *seen.categories]))[:30],
        "opening_hours": known.opening_hours or seen.opening_hours,
        "socials": dict(list({**seen.socials, **known.socials}.items())[:20]),
        "provenance": dict(list({**seen.provenance, **known.provenance}.items())[:30]),
        "source_url": seen.source_url,
    }
    for name in _SINGLE:
        if getattr(known, name) is None:
            update[name] = getattr(seen, name)
    if known.display_name is None or _surer_name(seen, known):
        update["display_name"] = seen.display_name or known.display_name
        if "display_name" in seen.provenance:
            update["provenance"]["display_name"] = seen.provenance["display_name"]
    return known.model_copy(update=update)


def same_business(known: Lead, seen: Lead) -> bool:
    """Whether two leads of one site speak of one business; two addresses are two branches."""
    if _conflict(known, seen):
        return False
    shared = {_key(phone) for phone in known.phones} & {_key(phone) for phone in seen.phones}
    return bool(shared or set(known.emails) & set(seen.emails) or _name(known) == _name(seen) != "")


class Ledger:
    """The known businesses in a state. ``record`` them; then ``changes`` is what the state must take over."""

    def __init__(self, state: Mapping[str, str], *, phone_only: bool = False) -> None:
        self._phone_only = phone_only
        self.changes: dict[str, str] = {}
        self._known: dict[str, tuple[Lead, bool]] = {}
        for name, text in state.items():
            if re.fullmatch(r"l\d+", name):
                told, _, lead = text.partition(" ")
                self._known[name] = (Lead.model_validate_json(lead), told == "1")

    def record(self, page: Sequence[Lead]) -> tuple[list[Lead], list[Lead]]:
        """``(new, grown)``: what to tell of the leads of one page of the site."""
        fresh: list[Lead] = []
        grown: list[Lead] = []
        for lead in page:
            name = self._find(lead, alone=len(page) == 1)
            if name is None and len(self._known) >= MAX_KNOWN:
                if has_contact(lead, phone_only=self._phone_only):
                    fresh.append(lead)
                continue
            known, told = self._known[name] if name is not None else (None, False)
            merged = lead if known is None else merge(known, lead)
            if known is not None and substance(known) == substance(merged):
                continue
            tell = has_contact(merged, phone_only=self._phone_only)
            if tell:
                (grown if told else fresh).append(merged)
            name = name or f"l{len(self._known)}"
            self._known[name] = (merged, told or tell)
            kept = merged.model_dump_json(exclude_none=True, exclude={"provenance", "description", "score_reasons"})
            self.changes[name] = f"{int(told or tell)} {kept}"
        return fresh, grown

    def _find(self, lead: Lead, *, alone: bool) -> str | None:
        for name, (known, _) in self._known.items():
            if same_business(known, lead):
                return name
        # the only business of a page and the only one of its site: pages often name it differently
        if alone and len(self._known) == 1:
            name, (known, _) = next(iter(self._known.items()))
            return None if _conflict(known, lead) else name
        return None


def _phones(known: Sequence[Phone], seen: Sequence[Phone]) -> list[Phone]:
    found: dict[str, Phone] = {}
    for phone in [*known, *seen]:
        before = found.get(_key(phone))
        if before is None or _worth(phone) > _worth(before):
            found[_key(phone)] = phone
    return list(found.values())[:50]


def _worth(phone: Phone) -> tuple[int, bool]:
    return _VALIDITY.index(phone.validation_status), phone.phone_coordinates is not None


def _key(phone: Phone) -> str:
    return phone.normalized_e164 or re.sub(r"\D", "", phone.raw)


def _name(lead: Lead) -> str:
    return re.sub(r"[\W_]+", "", (lead.display_name or "").casefold())


def _surer_name(seen: Lead, known: Lead) -> bool:
    new, old = seen.provenance.get("display_name"), known.provenance.get("display_name")
    return new is not None and old is not None and new.confidence > old.confidence


def _conflict(one: Lead, other: Lead) -> bool:
    """Two addresses that cannot be one: postal codes differ, or streets within one town."""
    if one.address is None or other.address is None:
        return False
    for a, b in (
        (one.address.postal_code, other.address.postal_code),
        (one.address.street, other.address.street),
    ):
        if a and b:
            return re.sub(r"[\W_]+", "", a.casefold()) != re.sub(r"[\W_]+", "", b.casefold())
    return False
