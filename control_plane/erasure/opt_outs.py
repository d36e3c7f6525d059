"""Who may not be collected: entries, how they are compared and shown. Pure.

An entry is kept as a keyed digest. What a list, a log or a backup of an answer shows of a number or an address is not
enough to reach anybody; matching needs no more than the digest.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from control_plane.errors import Invalid
from leads.domains import is_shared, registered_domain
from leads.emails import normalise_email
from leads.identity import lead_id
from leads.model import Lead, Phone, Validation
from leads.phones import normalise_phone, phone_in_href

ID_PREFIX = "opt_"
DIGEST_HEX = 32
"""128 bits of an HMAC: among a billion entries no two are equal."""

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.(?!-)[a-z0-9_-]{1,63})+")


class Kind(StrEnum):
    """What an entry names. ``lead`` is a business that was erased: it is known by the ids it would get again."""

    PHONE = "phone"
    EMAIL = "email"
    DOMAIN = "domain"
    LEAD = "lead"


@dataclass(frozen=True, slots=True)
class OptOut:
    """One thing that is opted out, in the one way it is written: E.164, lower case, without ``www.``"""

    kind: Kind
    value: str

    def digest(self, key: bytes) -> str:
        """``opt_…``, the entry's id, under the fleet's key."""
        message = f"{self.kind}\0{self.value}".encode()
        return ID_PREFIX + hmac.digest(key, message, hashlib.sha256).hex()[:DIGEST_HEX]

    def shown(self) -> str:
        """What lists show: enough to recognise an entry, not enough to call or write. A domain is public anyway."""
        if self.kind is Kind.PHONE:
            return f"{self.value[:3]}{'•' * (len(self.value) - 5)}{self.value[-2:]}"
        if self.kind is Kind.EMAIL:
            local, _, domain = self.value.partition("@")
            return f"{local[0]}•••@{domain}"
        return self.value


def phone(raw: str, region: str | None = None) -> OptOut:
    """The entry of a number; Invalid when it is none. ``region`` is needed for one without ``+``."""
    found = normalise_phone(raw, region.upper() if region else None)
    if found.normalized_e164 is None or found.validation_status == Validation.INVALID:
        raise Invalid(f"phone: {raw[:40]!r} is not a phone number: write it as +49 30 1234567, or send its region too")
    return OptOut(Kind.PHONE, found.normalized_e164)


def email(raw: str) -> OptOut:
    """The entry of an e-mail address; Invalid when it is none."""
    found = normalise_email(raw)
    if found is None:
        raise Invalid(f"email: {raw[:80]!r} is not an e-mail address")
    return OptOut(Kind.EMAIL, found)


def domain(raw: str) -> OptOut:
    """The entry of a domain and all names below it, also given as a URL; Invalid when nobody can own it alone."""
    host = (_host(raw) or _host(f"//{raw}") or "").removeprefix("www.")
    registered = registered_domain(host)
    if not _HOST.fullmatch(host) or registered is None:
        raise Invalid(f"domain: {raw[:80]!r} is not a domain: write it as example.com")
    if is_shared(host):
        raise Invalid(f"domain: {host} is shared by many: opt out an address or a phone instead")
    return OptOut(Kind.DOMAIN, host)


def business(tenant: str, lead_ids: Iterable[str], phones: Iterable[Phone]) -> list[OptOut]:
    """The entries that keep one business away: the ids it had, and those that each of its phones would give it."""
    minted = {lead_id(tenant, Lead(phones=[each])) for each in phones if each.validation_status == Validation.VALID}
    return [OptOut(Kind.LEAD, each) for each in sorted({*lead_ids, *minted})]


@dataclass(frozen=True, slots=True)
class OptOutList:
    """A tenant's entries as of one version of the list."""

    version: int
    key: bytes
    digests: frozenset[str]

    def blocks(self, lead: Lead, lead_id: str | None = None) -> bool:
        """Whether a lead carries anything that is opted out; ``lead_id`` is what it would be called."""
        if not self.digests:
            return False
        ours = OptOut(Kind.LEAD, lead_id) if lead_id else None
        return (ours is not None and ours.digest(self.key) in self.digests) or any(
            entry.digest(self.key) in self.digests for entry in carried(lead)
        )

    def blocks_url(self, url: str) -> bool:
        """Whether a page is of a domain that is opted out."""
        if not self.digests:
            return False
        return any(entry.digest(self.key) in self.digests for entry in _domains(_host(url)))


def carried(lead: Lead) -> Iterator[OptOut]:
    """Everything in a lead that an entry can name, its id aside."""
    numbers = {phone.normalized_e164 for phone in lead.phones} | {phone_in_href(url) for url in lead.socials.values()}
    yield from (OptOut(Kind.PHONE, number) for number in numbers if number)
    hosts = {_host(url) for url in (lead.website, lead.source_url) if url}
    for address in {each.lower() for each in lead.emails} | {each.address.lower() for each in lead.email_details}:
        yield OptOut(Kind.EMAIL, address)
        hosts.add(address.rpartition("@")[2])
    for host in hosts:
        yield from _domains(host)


def _domains(host: str | None) -> Iterator[OptOut]:
    """A host and the domains that it is below of."""
    labels = (host or "").removeprefix("www.").split(".")
    for start in range(len(labels) - 1):
        yield OptOut(Kind.DOMAIN, ".".join(labels[start:]))


def _host(url: str) -> str | None:
    try:
        host = urlsplit(url.strip()).hostname
        return host.rstrip(".").encode("idna").decode() if host else None
    except (ValueError, UnicodeError):  # an address a page wrote: "http://[oops"
        return None
