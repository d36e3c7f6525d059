"""A lead in the making: values with their source and confidence, before they are frozen into a `Lead`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from leads.extract.contacts import merge_phones
from leads.extract.document import Element
from leads.model import Address, Email, Lead, Phone, Provenance, Validation


@dataclass(slots=True)
class Draft:
    """``values`` holds the single-valued fields of `Lead`; ``lines`` is where the draft stands on the page."""

    structured: bool = False
    is_listed: bool = False  # told of by a site of somebody else
    element: Element = None
    lines: tuple[int, int] | None = None
    phones: list[Phone] = field(default_factory=list)
    emails: list[Email] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Provenance] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        return self.values.get("display_name")

    @property
    def address(self) -> Address | None:
        return self.values.get("address")

    @property
    def is_reachable(self) -> bool:
        return bool(self.phones or self.emails or self.address)

    def set_name(self, name: str | None, source: str, confidence: float) -> None:
        self.set("display_name", name, source, confidence)

    def set(self, field_name: str, value: Any, source: str, confidence: float) -> None:
        """Keeps the surest value of a field; ``None`` is no value."""
        held = self.provenance.get(field_name)
        if value is not None and (held is None or confidence > held.confidence):
            self.values[field_name] = value
            self.provenance[field_name] = Provenance(source=source, confidence=confidence)

    def same_as(self, other: Draft) -> bool:
        """Whether two drafts of one page are one business: shared number or name, and no different address."""
        if self.address and other.address and not _same_place(self.address, other.address):
            return False
        ours = {phone.normalized_e164 for phone in self.phones if phone.normalized_e164}
        theirs = {phone.normalized_e164 for phone in other.phones if phone.normalized_e164}
        names_agree = bool(self.name and other.name and fold(self.name) == fold(other.name))
        if ours & theirs:
            return names_agree or not (self.name and other.name)
        return names_agree and not (ours and theirs)

    def absorb(self, other: Draft) -> None:
        """Takes over what the other draft knows and this one does not."""
        self.phones.extend(other.phones)
        self.emails.extend(other.emails)
        for field_name, value in other.values.items():
            known = other.provenance[field_name]
            if field_name == "socials" and field_name in self.values:
                self.values["socials"] = {**value, **self.values["socials"]}
            else:
                self.set(field_name, value, known.source, known.confidence)

    def share(self, main: Draft) -> None:
        """Takes over what a branch has in common with its business: site, profiles, sign, trade."""
        for field_name in ("website", "socials", "logo", "description", "categories"):
            if field_name in main.values:
                known = main.provenance[field_name]
                self.set(field_name, main.values[field_name], known.source, known.confidence)

    def freeze(self, source_url: str) -> Lead:
        """The lead, its lists without duplicates, with a provenance for every field that is set."""
        phones = merge_phones(self.phones)
        emails: dict[str, Email] = {}
        for email in self.emails:
            held = emails.get(email.address)
            if held is None or email.confidence > held.confidence:
                emails[email.address] = email
        details = list(emails.values())[:50]
        provenance = dict(self.provenance)
        valid = [phone for phone in phones if phone.validation_status is Validation.VALID]
        found: dict[str, Sequence[Phone | Email]] = {"phones": valid or phones, "emails": details}
        for field_name, values in found.items():
            if values:
                surest = max(values, key=lambda each: each.confidence)
                provenance[field_name] = Provenance(source=surest.source, confidence=surest.confidence)
        return Lead(
            phones=phones,
            emails=[email.address for email in details],
            email_details=details,
            source_url=source_url[:2_048],
            provenance=provenance,
            **{name: _bounded(name, value) for name, value in self.values.items()},
        )


def fold(text: str) -> str:
    """Letters and digits only, caseless: what two spellings of one name share."""
    return re.sub(r"[\W_]+", "", text.casefold())


def _same_place(a: Address, b: Address) -> bool:
    if a.postal_code and b.postal_code and fold(a.postal_code)[:5] != fold(b.postal_code)[:5]:
        return False
    if a.street and b.street:
        first, second = fold(a.street), fold(b.street)
        numbers = [set(re.findall(r"\d+", street)) for street in (a.street, b.street)]
        return first in second or second in first or bool(numbers[0] & numbers[1])
    return True


def _bounded(name: str, value: Any) -> Any:
    if name == "display_name":
        return value[:200]
    if name in ("website", "logo"):
        return value[:2_048]
    return value
