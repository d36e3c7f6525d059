"""Opt-outs: written in one way, compared by digest, shown masked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.erasure import opt_outs
from control_plane.erasure.opt_outs import Kind, OptOut, OptOutList, business
from control_plane.errors import Invalid
from leads.identity import lead_id
from leads.model import Email, Lead, Phone, Validation

KEY = b"k" * 32


def listed(*entries: OptOut) -> OptOutList:
    return OptOutList(1, KEY, frozenset(entry.digest(KEY) for entry in entries))


@pytest.mark.parametrize(
    ("made", "value", "shown"),
    [
        (lambda: opt_outs.phone("030 1234567", "de"), "+49301234567", "+49•••••••67"),
        (lambda: opt_outs.phone("+44 20 7946 0000"), "+442079460000", "+44••••••••00"),
        (lambda: opt_outs.email(" Info@Example.COM "), "info@example.com", "i•••@example.com"),
        (lambda: opt_outs.domain("Example.com"), "example.com", "example.com"),
        (lambda: opt_outs.domain("https://www.example.co.uk:8443/x?y"), "example.co.uk", "example.co.uk"),
        (lambda: opt_outs.domain("shop.example.com."), "shop.example.com", "shop.example.com"),
        (lambda: opt_outs.domain("my-bakery.wixsite.com"), "my-bakery.wixsite.com", "my-bakery.wixsite.com"),
        (lambda: opt_outs.domain("somebody.github.io"), "somebody.github.io", "somebody.github.io"),
        (lambda: opt_outs.domain("müller.de"), "xn--mller-kva.de", "xn--mller-kva.de"),
    ],
)
def test_a_value_is_written_in_one_way_and_shown_masked(made: object, value: str, shown: str) -> None:
    entry: OptOut = made()  # type: ignore[operator]
    assert (entry.value, entry.shown()) == (value, shown)


@pytest.mark.parametrize(
    ("make", "raw", "said"),
    [
        (opt_outs.phone, "12", "not a phone number"),
        (opt_outs.phone, "030 1234567", "region"),
        (opt_outs.email, "me@localhost", "not an e-mail address"),
        (opt_outs.domain, "co.uk", "not a domain"),
        (opt_outs.domain, "localhost", "not a domain"),
        (opt_outs.domain, "http://127.0.0.1/", "not a domain"),
        (opt_outs.domain, "a b.com", "not a domain"),
        (opt_outs.domain, "facebook.com", "shared by many"),
        (opt_outs.domain, "de.linkedin.com", "shared by many"),
        (opt_outs.domain, "wixsite.com", "shared by many"),
        (opt_outs.domain, "github.io", "shared by many"),
        (opt_outs.domain, "s3.amazonaws.com", "shared by many"),
        (opt_outs.domain, "yahoo.co.jp", "shared by many"),
    ],
)
def test_what_names_nobody_is_refused(make: object, raw: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        make(raw)  # type: ignore[operator]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_no_text_breaks_the_making_of_an_entry(raw: str) -> None:
    for make in (opt_outs.phone, opt_outs.email, opt_outs.domain):
        try:
            entry = make(raw)
        except Invalid:
            continue
        assert make(entry.value) == entry, "written once, it stays so"


@pytest.mark.parametrize(
    ("entry", "lead", "blocked"),
    [
        (OptOut(Kind.PHONE, "+49301"), Lead(phones=[Phone(raw="x", normalized_e164="+49301", kind="fax")]), True),
        (OptOut(Kind.PHONE, "+49301"), Lead(phones=[Phone(raw="+49301")]), False),
        (OptOut(Kind.PHONE, "+49301234567"), Lead(socials={"whatsapp": "https://wa.me/49301234567"}), True),
        (OptOut(Kind.EMAIL, "a@b.com"), Lead(emails=["A@b.com"]), True),
        (OptOut(Kind.EMAIL, "a@b.com"), Lead(email_details=[Email(address="a@B.com")]), True),
        (OptOut(Kind.EMAIL, "a@b.com"), Lead(emails=["aa@b.com"]), False),
        (OptOut(Kind.DOMAIN, "b.com"), Lead(website="https://www.B.com/x"), True),
        (OptOut(Kind.DOMAIN, "b.com"), Lead(website="https://shop.b.com"), True),
        (OptOut(Kind.DOMAIN, "b.com"), Lead(website="https://ab.com"), False),
        (OptOut(Kind.DOMAIN, "b.com"), Lead(website="https://b.com.org"), False),
        (OptOut(Kind.DOMAIN, "shop.b.com"), Lead(website="https://b.com"), False),
        (OptOut(Kind.DOMAIN, "b.com"), Lead(emails=["me@mail.b.com"]), True),
        (OptOut(Kind.DOMAIN, "b.com"), Lead(source_url="http://b.com/list?page=2"), True),
        (OptOut(Kind.DOMAIN, "b.com"), Lead(website="http://[oops"), False),
    ],
)
def test_what_carries_an_entry_is_blocked(entry: OptOut, lead: Lead, blocked: bool) -> None:
    assert listed(entry).blocks(lead) is blocked
    assert not OptOutList(0, b"", frozenset()).blocks(lead)


def test_a_business_is_known_by_its_ids_and_its_phones() -> None:
    phones = [
        Phone(raw="1", normalized_e164="+49301", validation_status=Validation.VALID),
        Phone(raw="2", normalized_e164="+49302", validation_status=Validation.POSSIBLE),
    ]
    away = listed(*business("acme", ["led_old"], phones))
    again = Lead(display_name="Café", phones=phones[:1])
    assert away.blocks(again, lead_id("acme", again))
    assert away.blocks(Lead(), "led_old")
    assert not away.blocks(again, "led_of_another")
    other = Lead(display_name="Café", phones=phones[1:])
    assert not away.blocks(other, lead_id("acme", other))
    assert not away.blocks(again, lead_id("globex", again)), "another tenant's ids are others"


def test_pages_of_a_domain_and_below_it_are_blocked() -> None:
    away = listed(OptOut(Kind.DOMAIN, "b.com"))
    assert away.blocks_url("https://www.b.com:8443/x")
    assert away.blocks_url("http://a.b.COM")
    assert not away.blocks_url("https://b.com.evil.org/b.com")
    assert not away.blocks_url("dentists in b.com")


def test_a_digest_tells_kinds_and_keys_apart() -> None:
    entry = OptOut(Kind.EMAIL, "a@b.com")
    assert entry.digest(KEY) != OptOut(Kind.DOMAIN, "a@b.com").digest(KEY)
    assert entry.digest(KEY) != entry.digest(b"other")
    assert entry.digest(KEY) == entry.digest(KEY)
