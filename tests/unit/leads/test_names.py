"""Names: which of the many things that a page calls itself is the business."""

from __future__ import annotations

import pytest

from leads.extract import extract
from leads.extract.names import tidy_name

CONTACT = "<p>Tel 020 7946 0000</p>"


def named(head: str = "", body: str = "", url: str = "https://site.example.org/contact") -> str | None:
    (lead,) = extract(f"<html lang='en-GB'><head>{head}</head><body>{CONTACT}{body}</body></html>", url)
    return lead.display_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Welcome to Oak Dental", "Oak Dental"),
        ("Contact Oak Dental", "Oak Dental"),
        ("Oak Dental (London)", "Oak Dental (London)"),
        ("Studio 54", "Studio 54"),
        ("Contact Us", None),
        ("contact us", None),
        ("About us", None),
        ("Impressum", None),
        ("Top", None),
        ("Phone 020 7946 0000", None),
        ("info@oak.example.org", None),
        ("https://oak.example.org", None),
        ("!", None),
    ],
)
def test_what_can_be_a_name(text: str, name: str | None) -> None:
    assert tidy_name(text) == name


@pytest.mark.parametrize(
    "title",
    [
        "Contact Us | Oak Dental",
        "Oak Dental - Contact",
        "Oak Dental :: Home",
        "Welcome to Oak Dental",
        "About us » Oak Dental",
    ],
)
def test_a_title_is_cut_to_the_name(title: str) -> None:
    assert named(f"<title>{title}</title>") == "Oak Dental"


def test_the_words_that_the_domain_runs_together_are_the_name() -> None:
    body = "<p>Write to info@millpondcarpets.example.com. At Mill Pond Carpets we care.</p>"
    assert named("<title>Rugs | Runners</title>", body, "https://www.millpondcarpets.co.uk/rugs") == "Mill Pond Carpets"


def test_a_mails_domain_tells_where_the_pages_own_does_not() -> None:
    body = "<p>info@millpondcarpets.co.uk</p><p>Mill Pond Carpets</p>"
    assert named("<title>Rugs | Runners</title>", body, "file:///saved.html") == "Mill Pond Carpets"


def test_a_title_that_the_menu_links_to_names_its_page() -> None:
    body = "<a href='/rugs'>Rugs</a><a href='/'>Mill Pond</a>"
    assert named("<title>Rugs | Mill Pond</title>", body) == "Mill Pond"
    assert named("<title>Mill Pond | Rugs</title>", body) == "Mill Pond"


def test_the_picture_that_links_home_is_the_sign() -> None:
    sign = "<a href='/'><img src='s.png' alt='Mill Pond'></a>"
    badge = "<a href='https://badges.example.net/'><img src='logo.png' alt='Best of Town'></a>"
    inner = "<a href='/cart'><img src='c.png' alt='View basket'></a>"
    assert named("", f"{inner}{badge}{sign}") == "Mill Pond"
    assert named("", f"{inner}{badge}") is None


def test_a_copyright_ends_at_the_legal_form() -> None:
    assert named("", "<p>© 2019 Mill Pond Ltd 7 High Street Preston T: 01632 960000</p>") == "Mill Pond Ltd"


def test_what_sentences_speak_of_beats_what_only_the_title_says() -> None:
    prose = "For three generations Mill Pond Carpets wove rugs, and Mill Pond Carpets weaves them still."
    assert named("<title>Rugs of wool | Mill Pond Carpets | Preston</title>", f"<p>{prose}</p>") == "Mill Pond Carpets"
