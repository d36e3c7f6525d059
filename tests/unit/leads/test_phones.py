"""Phones: what libphonenumber makes of them, and what is found in a line of text."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leads.model import Validation
from leads.phones import e164, find_phones, normalise_phone, phone_in_href


@pytest.mark.parametrize(
    ("raw", "region", "number", "country"),
    [
        ("(212) 555-0142", "US", "+12125550142", "US"),
        ("020 7946 0000", "GB", "+442079460000", "GB"),
        ("+44 (0) 20 7946 0000", None, "+442079460000", "GB"),
        ("0049 30 23125001", "US", "+493023125001", "DE"),
        ("01 99 00 12 34", "FR", "+33199001234", "FR"),
        ("(02) 5550 1234", "AU", "+61255501234", "AU"),
    ],
)
def test_a_number_becomes_international(raw: str, region: str | None, number: str, country: str) -> None:
    phone = normalise_phone(raw, region)
    assert (phone.normalized_e164, phone.country, phone.validation_status) == (number, country, Validation.VALID)


def test_an_extension_stays_apart() -> None:
    phone = normalise_phone("+1 212-555-0142 ext. 204", None)
    assert (phone.normalized_e164, phone.extension) == ("+12125550142", "204")


@pytest.mark.parametrize("raw", ["", "call us", "123", "+999 1234 5678"])
def test_what_is_no_number_is_invalid_and_keeps_its_writing(raw: str) -> None:
    phone = normalise_phone(raw, "US")
    assert phone.validation_status is not Validation.VALID
    assert phone.raw == raw


def test_a_local_number_without_a_region_is_not_guessed() -> None:
    assert normalise_phone("020 7946 0000", None).validation_status is Validation.INVALID


@pytest.mark.parametrize(
    ("text", "regions", "numbers"),
    [
        ("Call 1-800-FLOWERS today", ["US"], ["+18003569377"]),
        ("(520) 555 STAR (7827)", ["US"], ["+15205557827"]),
        ("212-555-0142 / 43", ["US"], ["+12125550142", "+12125550143"]),
        ("(212) 555-0142 or 555-0143", ["US"], ["+12125550142", "+12125550143"]),
        ("020 7946 0000 / 7946 0001", ["GB"], ["+442079460000", "+442079460001"]),
        ("212-555-0142 / 43 / 44", ["US"], ["+12125550142", "+12125550143", "+12125550144"]),
        ("(212) 555-0142, 555-0143, 555-0144", ["US"], ["+12125550142", "+12125550143", "+12125550144"]),
        ("022-26364000/1/2", ["IN"], ["+912226364000", "+912226364001", "+912226364002"]),
        ("+91-22-26364000 / 26364001", [], ["+912226364000", "+912226364001"]),
        ("030 23125-001 / -002", ["DE"], ["+493023125001", "+493023125002"]),
        ("(212) 555-0142 ext. 204 or 205", ["US"], ["+12125550142", "+12125550142"]),
        ("212-555-0142 / 43, 1200", ["US"], ["+12125550142", "+12125550143"]),
        ("(212) 555-0142, 10001", ["US"], ["+12125550142"]),
        ("(212) 555-0142, 02/2013", ["US"], ["+12125550142"]),
        ("Call 1-800-FLOWERS", [], ["+18003569377"]),
        ("call 1-800-Flowers", [], ["+18003569377"]),
        ("from 1 800 rooms and suites", ["US"], []),
        ("1300 FLOWER or 13 CABS", ["AU"], ["+611300356937", "+61132227"]),
        ("0800 FLOWERS", ["GB"], ["+448003569377"]),
        ("(212) 555-0142 / (212) 555-0143", ["US"], ["+12125550142", "+12125550143"]),
        ("(212) 555-0142, 2013", ["US"], ["+12125550142"]),
        ("(212) 555-0142, 12 Oak Road", ["US"], ["+12125550142"]),
        ("1(212)555-0142 or 1(212)555.0143", ["US"], ["+12125550142", "+12125550143"]),
        ("Tel: (202) 555-0139Fax: (202) 555-0140", ["US"], ["+12025550139", "+12025550140"]),
        ("(0xx11) 3555-0123", ["BR"], ["+551135550123"]),
        ("0032 56 55 01 23", [], ["+3256550123"]),
        ("01 99 00 72 83", ["FR"], ["+33199007283"]),
        ("+31 30 000 0031", [], ["+31300000031"]),
        ("Anytown MD 20300 - 20399", ["US"], []),
        ("2012 GRANDSTAR CINEMAS", ["US"], []),
        ("17-03-2014 A complete solution", ["HK"], []),
        ("Open since 2014.03.17", ["HK"], []),
        ("08800-08899", ["NL"], []),
        ("06500 - 06599 Anytown", ["NL"], []),
        ("Reference 2024-0117-355, 12 450 guests", ["GB", "US"], []),
    ],
)
def test_numbers_in_a_line(text: str, regions: list[str], numbers: list[str]) -> None:
    assert [e164(match.number) for match in find_phones(text, regions)] == numbers


def test_a_match_says_where_it_stands() -> None:
    text = "Fax 0044 20 7946 0000."
    match = find_phones(text, [])[0]
    assert text[match.start : match.end] == match.raw == "0044 20 7946 0000"


@pytest.mark.parametrize(
    ("href", "number"),
    [
        ("tel:+1-212-555-0142", "+1-212-555-0142"),
        ("TEL://%2B44 20", "+44 20"),
        ("callto:/+98765432", "+98765432"),
        ("https://wa.me/491713920031?text=hi", "+491713920031"),
        ("https://api.whatsapp.com/send?phone=491713920031", "+491713920031"),
        ("tel:", None),
        ("https://example.com/?phone=491713920031", None),
        ("https://[broken", None),
    ],
)
def test_numbers_in_links(href: str, number: str | None) -> None:
    assert phone_in_href(href) == number


@settings(deadline=None)  # the first number of a country reads that country's tables
@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)))
def test_every_countrys_example_number_survives_both_writings(region: str) -> None:
    example = phonenumbers.example_number(region)
    if example is None:
        return
    for form in (phonenumbers.PhoneNumberFormat.INTERNATIONAL, phonenumbers.PhoneNumberFormat.NATIONAL):
        written = phonenumbers.format_number(example, form)
        assert normalise_phone(written, region).normalized_e164 == e164(example)
