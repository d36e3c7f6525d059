"""Who is who: identifiers, ids that stay the same, and the merge of what several pages told.

An *observation* is what one page told one task; a *lead* is a business of a tenant. Nothing here reads a clock or a
store, so two replicas that see the same observation give it the same names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from leads.domains import own_domain
from leads.matching import place_keys, same_business
from leads.model import Address, Enrichment, Lead, Phone, Provenance, Validation

__all__ = ["cluster", "fold_name", "identifiers", "lead_id", "merge", "observation_id", "same_business"]

ID_LENGTH = 26
"""Base 32 digits of an id: 130 bits, so ids of a billion leads do not meet."""

BLOCK_MAX = 200
"""Leads with one identifier in common that are compared with each other: a number that stands on more businesses
than this is an agency's, and says nothing."""

_WORDS = re.compile(r"[^\w]+")
_LEGAL_FORMS = frozenset(
    "ltd limited llc llp inc incorporated corp corporation co company plc gmbh mbh ag kg ohg ug ev sarl sa sas srl spa"
    " bv nv ab oy as aps pty the and und et y e".split()
)


def identifiers(lead: Lead) -> list[tuple[str, str]]:
    """What tells a lead from others, strongest first: ``phone`` (E.164), ``domain`` (registered), ``email``,
    ``place`` (name and postal code or city), ``name``."""
    found = [
        ("phone", p.normalized_e164 + (f"x{p.extension}" if p.extension else ""))
        for p in sorted(lead.phones, key=_phone_rank)
        if p.normalized_e164 and p.validation_status == Validation.VALID and p.kind != "fax"
    ]
    if domain := own_domain(lead.website):
        found.append(("domain", domain))
    found += [("email", email.lower()) for email in lead.emails]
    name = fold_name(lead.display_name)
    where = lead.address and (lead.address.postal_code or lead.address.city)
    if name and where:
        found.append(("place", f"{name}|{_fold(where)}"))
    if name:
        found.append(("name", name))
    return list(dict.fromkeys(found))


def lead_id(tenant: str, lead: Lead) -> str:
    """``led_…`` from the strongest identifier, scoped to the tenant: two tenants never share an id.

    A lead without any identifier is known by the page that told of it.
    """
    strongest = next(iter(identifiers(lead)), ("page", lead.source_url or ""))
    return "led_" + _digest(tenant, *strongest)


def observation_id(task: str, lead: Lead) -> str:
    """``obs_…`` of what a page told a task: the same content of the same page is the same observation, whenever it
    was seen, wherever it stood on the picture."""
    told = lead.model_dump(
        mode="json", include={"display_name", "emails", "website", "address", "categories", "opening_hours", "socials"}
    )
    phones = sorted((p.normalized_e164 or p.raw, p.extension or "", p.kind) for p in lead.phones)
    return "obs_" + _digest(task, lead.source_url or "", json.dumps([told, phones], sort_keys=True))


def cluster(leads: Sequence[Lead]) -> list[list[int]]:
    """The indexes of ``leads`` grouped by business, each group and the groups in order of first appearance.

    Only leads with an identifier in common, or a place and the beginning of the name, are compared, so the work
    grows with the number of leads, not its square.
    """
    parent = list(range(len(leads)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    blocks: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, lead in enumerate(leads):
        for block in _blocks(lead):
            blocks[block].append(index)
    for members in blocks.values():
        if len(members) > BLOCK_MAX:
            continue
        for position, one in enumerate(members):
            for other in members[:position]:
                if root(one) != root(other) and same_business(leads[one], leads[other]):
                    first, second = sorted((root(one), root(other)))
                    parent[second] = first

    groups: dict[int, list[int]] = defaultdict(list)
    for index in range(len(leads)):
        groups[root(index)].append(index)
    return list(groups.values())


def _blocks(lead: Lead) -> list[tuple[str, str]]:
    opening = fold_name(lead.display_name).replace(" ", "")[:4]
    near = [("near", f"{opening}|{key}") for key in place_keys(lead.address)] if opening else []
    return [*identifiers(lead), *near]


def merge(observations: Sequence[Lead]) -> Lead:
    """One lead of several observations of it, which need not be in order.

    Each field takes the value that is surest (``provenance``), the later one among equals; phones, e-mails, categories
    and profiles are united, each phone and e-mail with its best reading, a phone with its box; first seen is the
    earliest, last seen the latest.
    """
    if not observations:
        raise ValueError("nothing to merge: give at least one observation")
    ordered = sorted(observations, key=lambda lead: (str(lead.found_at or ""), lead.source_url or ""))
    update: dict[str, object] = {}
    provenance: dict[str, Provenance] = {}
    for field in ("display_name", "website", "geo", "rating", "review_count", "description", "logo"):
        best = _surest(field, ordered)
        if best is not None:
            update[field] = getattr(best, field)
            if field in best.provenance:
                provenance[field] = best.provenance[field]
    update["address"] = _merge_addresses(ordered)
    update["phones"] = _merge_phones(ordered)
    update["emails"] = list(dict.fromkeys(email.lower() for lead in ordered for email in lead.emails))[:50]
    details = sorted((each for lead in ordered for each in lead.email_details), key=lambda each: each.confidence)
    update["email_details"] = list({each.address.lower(): each for each in details}.values())[:50]
    update["categories"] = list(dict.fromkeys(value for lead in ordered for value in lead.categories))[:30]
    # Hours are one timetable: a new one replaces the old one, line by line they would contradict each other.
    told = _surest("opening_hours", ordered)
    update["opening_hours"] = told.opening_hours if told else []
    by_trust = sorted(ordered, key=lambda lead: _confidence(lead, "socials"))
    update["socials"] = {network: url for lead in by_trust for network, url in lead.socials.items()}
    for lead in ordered:
        for field, origin in lead.provenance.items():
            if field not in provenance or origin.confidence > provenance[field].confidence:
                provenance[field] = origin
    update["provenance"] = provenance
    update["enrichment"] = _merge_enrichments(ordered)
    update["first_seen_at"] = min((t for lead in ordered if (t := lead.first_seen_at or lead.found_at)), default=None)
    update["last_seen_at"] = max((t for lead in ordered if (t := lead.last_seen_at or lead.found_at)), default=None)
    return ordered[-1].model_copy(update=update)


def fold_name(name: str | None) -> str:
    """A name for comparing: no case, accents, punctuation or legal form. ``"Café Roma, Ltd."`` → ``"cafe roma"``."""
    words = _fold(name or "").split()
    kept = [word for word in words if word not in _LEGAL_FORMS]
    return " ".join(kept or words)


def _fold(text: str) -> str:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _WORDS.sub(" ", plain.casefold()).strip()


def _digest(*parts: str) -> str:
    digest = hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).digest()
    return base64.b32encode(digest).decode().lower()[:ID_LENGTH]


def _street(address: Address | None) -> str:
    return _fold(address.street) if address and address.street else ""


def _elsewhere(a: Address | None, b: Address | None) -> bool:
    """Both addresses are known and no way of writing makes them one: other house numbers or postal codes."""
    if a is None or b is None:
        return False
    codes = [_fold(code).replace(" ", "") for code in (a.postal_code, b.postal_code) if code]
    if len(codes) == 2 and codes[0] != codes[1]:
        return True
    numbers = [set(re.findall(r"\d+", _street(address))) for address in (a, b)]
    return bool(numbers[0]) and bool(numbers[1]) and not numbers[0] & numbers[1]


def _surest(field: str, leads: Iterable[Lead]) -> Lead | None:
    known = [lead for lead in leads if getattr(lead, field) not in (None, [])]
    return max(reversed(known), key=lambda lead: _confidence(lead, field), default=None)


def _confidence(lead: Lead, field: str) -> float:
    return lead.provenance[field].confidence if field in lead.provenance else 0.0


def _merge_addresses(leads: Sequence[Lead]) -> Address | None:
    """The surest address, its gaps filled from others that do not contradict it."""
    base = _surest("address", leads)
    if base is None or base.address is None:
        return None
    merged = base.address
    for lead in leads:
        other = lead.address
        if other is not None and other != merged and not _elsewhere(merged, other):
            gaps = {f: v for f, v in other if v is not None and getattr(merged, f) is None}
            merged = merged.model_copy(update=gaps)
    return merged


def _merge_enrichments(leads: Sequence[Lead]) -> Enrichment | None:
    """The newest of a model's answers, else of the rules': seeing a page again does not wipe what was paid for."""
    known = [lead.enrichment for lead in leads if lead.enrichment is not None]
    return max(known, key=lambda each: (each.source == "ai", str(each.enriched_at or "")), default=None)


def _phone_rank(phone: Phone) -> tuple[bool, bool, float]:
    return (phone.validation_status != Validation.VALID, phone.kind == "fax", -phone.confidence)


def _merge_phones(leads: Sequence[Lead]) -> list[Phone]:
    best: dict[tuple[str, str], Phone] = {}
    for phone in (phone for lead in leads for phone in lead.phones):
        key = (phone.normalized_e164 or phone.raw, phone.extension or "")
        known = best.get(key)
        if known is None:
            best[key] = phone
            continue
        surer, other = (phone, known) if phone.confidence > known.confidence else (known, phone)
        if surer.phone_coordinates is None and other.phone_coordinates is not None:
            box = {"phone_coordinates", "phone_element_selector"}
            surer = surer.model_copy(update={field: getattr(other, field) for field in box})
        best[key] = surer
    return sorted(best.values(), key=_phone_rank)[:50]
