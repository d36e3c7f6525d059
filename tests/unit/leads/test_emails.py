"""E-mails: as written for machines, for people only, and what merely looks like one."""

from __future__ import annotations

import json

import pytest

from leads.emails import emails_in_href, find_emails, kind_of, normalise_email
from tests.support import shared_data


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Write to Info@Example.com.", "info@example.com"),
        ("info [at] example [dot] com", "info@example.com"),
        ("info(at)example.de", "info@example.de"),
        ("info {ät} example {punkt} de", "info@example.de"),
        ("info [arroba] ejemplo [punto] es", "info@ejemplo.es"),
        ("desk at alder dot edu", "desk@alder.edu"),
        ("E-mail: joe at example.com", "joe@example.com"),
        ("contact [at sign goes here] example.de", "contact@example.de"),
        ("moc.elpmaxe@ofni", "info@example.com"),
        ("office@example.co.uk-Fax", "office@example.co.uk"),
        ("+442079460000info@example.com", "info@example.com"),
        ("this'is'valid@example.travel", "this'is'valid@example.travel"),
    ],
)
def test_addresses_are_found(text: str, address: str) -> None:
    assert [match.address for match in find_emails(text)] == [address]


@pytest.mark.parametrize(
    "text",
    [
        "logo@2x.png",
        "lodash@4.17.21",
        "we met at example.com",
        "not @ an.email.com",
        "@handle and @also.not",
        "look at dot matrix",
        "you@example.com",
        "e.g. john@example.com",
        "0123456789abcdef0123456789abcdef@sentry.io",
        "a@b",
    ],
)
def test_what_only_looks_like_one_is_not(text: str) -> None:
    assert find_emails(text) == []


def test_mailto_links_are_decoded() -> None:
    assert emails_in_href("mailto:%69nfo@example.com?subject=Hi") == ["info@example.com"]
    assert emails_in_href("MAILTO:a@example.com,b@example.com") == ["a@example.com", "b@example.com"]
    assert emails_in_href("https://example.com/a@example.com") == []


def test_a_desk_is_told_from_a_person() -> None:
    assert kind_of("sales-uk@example.com") == "role"
    assert kind_of("info2@example.com") == "role"
    assert kind_of("ann.lee@example.com") == "personal"


def test_an_address_needs_a_domain_that_can_be_registered() -> None:
    assert normalise_email("info@example.com") == "info@example.com"
    assert normalise_email("info@image.png") is None
    assert normalise_email("info@localhost") is None
    assert normalise_email("x" * 65 + "@example.com") is None


def test_recorded_cases_of_addresses_in_text() -> None:
    lines = (shared_data() / "social-dev" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [case for case in map(json.loads, lines) if case["fn"] == "emailsFromText"]
    assert cases
    for case in cases:
        assert [match.address for match in find_emails(case["input"])] == [text.lower() for text in case["expected"]]
