"""The CSV held against the sample town's truth."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PHONE = re.compile(r"\+\d[\d ()-]*")
EMAIL = re.compile(r"[^\s;,|]+@[^\s;,|]+")


@dataclass(frozen=True, slots=True)
class Score:
    """``missing`` are ids of businesses without a lead, ``invented`` names of leads without a business."""

    leads: int
    businesses: int
    missing: tuple[str, ...]
    invented: tuple[str, ...]
    phones: int
    phones_right: int

    @property
    def found_share(self) -> float:
        return 1 - len(self.missing) / self.businesses


def read_rows(file: Path) -> list[dict[str, str]]:
    """The leads of an exported CSV."""
    with file.open(encoding="utf-8-sig", newline="") as text:
        return list(csv.DictReader(text))


def score(rows: Sequence[Mapping[str, str]], truth: Mapping[str, Any]) -> Score:
    """A lead is a business's when it has a phone, an e-mail address or the website of that business.

    A lead that is nobody's, or that has a phone or e-mail of the truth's ``forbidden`` ones, is invented.
    """
    owners: dict[str, str] = {}
    for business in truth["businesses"]:
        for mark in _marks_of_business(business):
            owners[mark] = business["id"]
    forbidden = {mark for poison in truth["forbidden"] for mark in (poison["phone"], poison["email"]) if mark}
    right = {phone for business in truth["businesses"] for phone in _phones_of_business(business)}

    found: set[str] = set()
    invented: list[str] = []
    phones: list[str] = []
    for row in rows:
        marks = _marks_of_row(row)
        mine = {owners[mark] for mark in marks if mark in owners}
        found |= mine
        phones += _phones(row)
        if not mine or marks & forbidden:
            invented.append(row["name"])
    ids = [business["id"] for business in truth["businesses"]]
    return Score(
        leads=len(rows),
        businesses=len(ids),
        missing=tuple(business for business in ids if business not in found),
        invented=tuple(invented),
        phones=len(phones),
        phones_right=sum(phone in right for phone in phones),
    )


def _marks_of_row(row: Mapping[str, str]) -> set[str]:
    emails = {email.lower() for email in EMAIL.findall(row.get("emails", ""))}
    return {*_phones(row), *emails, _host(row.get("website", ""))} - {""}


def _marks_of_business(business: Mapping[str, Any]) -> set[str]:
    hosts = {_host(url) for url in (business["site_url"], *business["also_at"])}
    return {*_phones_of_business(business), *(email.lower() for email in business["emails"]), *hosts}


def _phones_of_business(business: Mapping[str, Any]) -> set[str]:
    branches = [phone for branch in business["branches"] for phone in branch.get("phones", [])]
    return {*business["phones"], *business["faxes"], *branches}


def _phones(row: Mapping[str, str]) -> list[str]:
    return ["+" + re.sub(r"\D", "", written) for written in PHONE.findall(row.get("phones", ""))]


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").removeprefix("www.")
