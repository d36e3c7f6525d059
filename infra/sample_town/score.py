"""Hold a ``leads.csv`` against the truth: which businesses were found, which leads are nobody's.

``python -m infra.sample_town.score leads.csv`` prints the score and exits with 1 when a lead is invented or
forbidden, or fewer than 95 % of the businesses were found.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import phonenumbers

from infra.sample_town.truth import TRUTH_PATH, load_truth
from infra.sample_town.writing import slug

FOUND_AT_LEAST = 0.95
"""Share of the town that a scrape must find to pass."""

SEPARATOR = ";"

_NAME_COLUMNS = ("name", "display_name")
_PHONE_COLUMNS = ("phones", "phone", "phone_e164", "normalized_e164")
_EMAIL_COLUMNS = ("emails", "email")


@dataclass(frozen=True, slots=True)
class FoundLead:
    """One row of the file, read back: ``phones`` are E.164 where libphonenumber can read them, else as written."""

    row: int
    name: str
    phones: tuple[str, ...]
    emails: tuple[str, ...]

    def __str__(self) -> str:
        return f"row {self.row}: {self.name or '(no name)'} {', '.join(self.phones + self.emails)}".rstrip()


@dataclass(slots=True)
class TownScore:
    """What a scrape got right and wrong.

    ``missing`` are names of businesses; ``invented``, ``forbidden`` and ``wrong`` are sentences about rows.
    ``repeated`` counts leads of a business beyond its first (beyond its branches, where it has some).
    """

    expected: int
    found: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    repeated: int = 0
    leads: int = 0
    phones_found: int = 0
    phones_expected: int = 0
    emails_found: int = 0
    emails_expected: int = 0

    @property
    def recall(self) -> float:
        """Share of the businesses that were found, 0 to 1."""
        return len(self.found) / self.expected if self.expected else 1.0

    @property
    def passed(self) -> bool:
        """Enough was found, and nothing was invented or forbidden."""
        return self.recall >= FOUND_AT_LEAST and not self.invented and not self.forbidden

    def summary(self) -> str:
        """A few lines for a terminal, with the first of each kind of fault."""
        lines = [
            f"businesses {len(self.found)}/{self.expected} ({self.recall:.1%})",
            f"leads {self.leads}, of them repeated {self.repeated}",
            f"phones {self.phones_found}/{self.phones_expected}, e-mails {self.emails_found}/{self.emails_expected}",
        ]
        for title, faults in (
            ("missing", self.missing),
            ("invented", self.invented),
            ("forbidden", self.forbidden),
            ("wrong", self.wrong),
        ):
            lines.append(f"{title} {len(faults)}")
            lines += [f"  {fault}" for fault in faults[:_FAULTS_SHOWN]]
            if len(faults) > _FAULTS_SHOWN:
                lines.append(f"  … and {len(faults) - _FAULTS_SHOWN} more")
        return "\n".join(lines)


_FAULTS_SHOWN = 10


def score(csv_path: Path, truth: Mapping[str, Any] | None = None) -> TownScore:
    """The score of a leads file against ``truth`` (the town's own when None).

    A lead belongs to the business that has one of its phones (a fax counts), else to the one of its name, branch
    suffix or not. ValueError when the file has no column for names or none for phones.
    """
    return score_leads(read_leads(csv_path), truth or load_truth())


def score_leads(leads: Iterable[FoundLead], truth: Mapping[str, Any]) -> TownScore:
    """Like `score`, of leads that were read already."""
    town = _Index(truth)
    result = TownScore(expected=len(town.businesses))
    seen: Counter[str] = Counter()
    phones: set[str] = set()
    emails: set[str] = set()
    for lead in leads:
        result.leads += 1
        result.forbidden += [f"{lead} ({reason})" for reason in town.reasons_against(lead)]
        business = town.owner(lead)
        if business is None:
            result.invented.append(str(lead))
            continue
        seen[business["id"]] += 1
        phones |= set(lead.phones) & set(business["phones"])
        emails |= set(lead.emails) & set(business["emails"])
        strange = set(lead.phones) - set(business["phones"]) - set(business["faxes"])
        strange |= set(lead.emails) - set(business["emails"])
        result.wrong += [f"{lead}: {contact} is not theirs" for contact in sorted(strange)]
    result.found = set(seen)
    result.missing = [b["name"] for b in town.businesses if b["id"] not in seen]
    result.repeated = sum(max(0, seen[b["id"]] - max(1, len(b["branches"]))) for b in town.businesses)
    result.phones_found, result.emails_found = len(phones), len(emails)
    result.phones_expected = sum(len(b["phones"]) for b in town.businesses)
    result.emails_expected = sum(len(b["emails"]) for b in town.businesses)
    return result


def read_leads(csv_path: Path) -> list[FoundLead]:
    """The rows of a leads file. Several values of a cell are separated by ``;``; a BOM is no matter."""
    with csv_path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        header = reader.fieldnames or []
        name = _column(csv_path, header, _NAME_COLUMNS)
        phone = _column(csv_path, header, _PHONE_COLUMNS)
        email = next((column for column in _EMAIL_COLUMNS if column in header), None)
        return [
            FoundLead(
                row=number,
                name=(row[name] or "").strip(),
                phones=tuple(_e164(value) for value in _values(row[phone])),
                emails=tuple(value.lower() for value in _values(row[email])) if email else (),
            )
            for number, row in enumerate(reader, start=2)
        ]


class _Index:
    """The truth, looked up by phone and by name."""

    def __init__(self, truth: Mapping[str, Any]) -> None:
        self.businesses: list[dict[str, Any]] = truth["businesses"]
        self._by_phone = {p: b for b in self.businesses for p in (*b["phones"], *b["faxes"])}
        self._by_name = {slug(b["name"]): b for b in self.businesses}
        for business in self.businesses:
            for branch in business["branches"]:
                self._by_name[slug(f"{business['name']} {branch['name']}")] = business
        self._poisons: list[dict[str, Any]] = truth["forbidden"]

    def owner(self, lead: FoundLead) -> dict[str, Any] | None:
        """The business this lead is about, or None."""
        by_phone = next((self._by_phone[phone] for phone in lead.phones if phone in self._by_phone), None)
        return by_phone or self._by_name.get(slug(lead.name))

    def reasons_against(self, lead: FoundLead) -> list[str]:
        """Why this lead must not exist as it is: each reason once."""
        return sorted(
            {
                poison["reason"]
                for poison in self._poisons
                if poison["phone"] in lead.phones
                or poison["email"] in lead.emails
                or slug(poison["name"]) == slug(lead.name)
            }
        )


def _column(csv_path: Path, header: Iterable[str], names: tuple[str, ...]) -> str:
    found = next((name for name in names if name in header), None)
    if found is None:
        raise ValueError(f"{csv_path}: no column {' or '.join(names)}; it has {', '.join(header) or 'no header'}")
    return found


def _values(cell: str | None) -> list[str]:
    # a leading apostrophe is how an export keeps a spreadsheet from running `+49 …` as a formula
    return [value for part in (cell or "").split(SEPARATOR) if (value := part.strip().lstrip("'").strip())]


def _e164(written: str) -> str:
    try:
        number = phonenumbers.parse(re.sub(r"^00", "+", written))
    except phonenumbers.NumberParseException:
        return written
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def main() -> int:
    """Print the score of the file that the command line names; 0 when it passed."""
    parser = argparse.ArgumentParser(prog="python -m infra.sample_town.score", description=__doc__)
    parser.add_argument("csv", type=Path, help="leads as CSV, as the export API writes them")
    parser.add_argument("--truth", type=Path, default=TRUTH_PATH)
    arguments = parser.parse_args()
    result = score(arguments.csv, load_truth(arguments.truth))
    print(result.summary())
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
