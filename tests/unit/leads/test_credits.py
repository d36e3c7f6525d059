"""Who made the site: its number is not the business's, wherever the credit puts it."""

from __future__ import annotations

import pytest

from leads.extract import extract
from leads.model import Lead, Validation

URL = "https://oak-dental.co.uk/contact"
OURS = "+442079460000"
CONTACT = "<h1>Oak Dental</h1><p>Tel 020 7946 0000</p>"


def read(body: str) -> Lead:
    (lead,) = extract(f"<html lang='en-GB'><body>{CONTACT}{body}</body></html>", URL)
    return lead


def numbers(lead: Lead) -> list[str | None]:
    return [phone.normalized_e164 for phone in lead.phones if phone.validation_status is Validation.VALID]


@pytest.mark.parametrize(
    "credit",
    [
        "<p>Website by Pixel Ltd, 0161 496 0123, hello@pixel.example.org</p>",
        "<p>Site by <a href='https://pixel.example.org'>Pixel</a> · <a href='tel:01614960123'>0161 496 0123</a></p>",
        "<p>Web design by Pixel</p><p>Tel: 0161 496 0123</p><p>hello@pixel.example.org</p>",
        """<p>Designed &amp; developed by <a href='https://pixel.example.org'>Pixel</a></p>
        <ul><li>0161 496 0123</li><li><a href='mailto:hello@pixel.example.org'>E-mail</a></li></ul>""",
        """<div>© 2020 Oak Dental | Created by <a href='//pixel.example.org'>Pixel</a>
        <a href='tel:01614960123'>call</a></div>""",
        "<p>Webdesign: Pixel GmbH, +44 161 496 0123</p>",
        "<p>Réalisation du site : Pixel, +44 161 496 0123</p>",
        "<p>Realizzazione sito web: Pixel, +44 161 496 0123</p>",
        "<p>Umsetzung der Website: Pixel, +44 161 496 0123</p>",
        "<p>Diseño web por Pixel, +44 161 496 0123</p>",
        "<p>Website by <img src=p.png alt='Pixel, 0161 496 0123, hello@pixel.example.org'></p>",
        "<p>Powered by Pixel +44 161 496 0123</p>",
    ],
)
def test_a_makers_contacts_are_not_the_businesss(credit: str) -> None:
    lead = read(credit)
    assert (numbers(lead), lead.emails) == ([OURS], [])


@pytest.mark.parametrize(
    "body",
    [
        "<p>Oak Dental, call 0161 496 0123. Website by Pixel</p>",
        "<p>Cakes made by Ann in our kitchen, order on 0161 496 0123</p>",
        "<p>Website by Pixel</p><p>Call us on 0161 496 0123</p>",
        "<p>Website by Pixel</p><p>Oak Dental<br>Second practice in town<br>0161 496 0123</p>",
        "<p>Home built by carpenters of the town</p><p>0161 496 0123</p>",
    ],
)
def test_the_businesss_own_number_beside_a_credit_stays(body: str) -> None:
    assert numbers(read(body)) == [OURS, "+441614960123"]


def test_a_number_that_stands_elsewhere_too_stays() -> None:
    assert numbers(read("<p>Website by Oak Dental, 020 7946 0000</p>")) == [OURS]


def test_a_makers_profiles_and_name_are_not_the_businesss() -> None:
    lead = read(
        "<p>Website by Pixel Ltd © 2020 <a href='https://twitter.com/pixel'>follow</a>"
        " <a href='https://www.facebook.com/pixel'><img src=f.png></a></p>"
    )
    assert (lead.display_name, lead.socials) == ("Oak Dental", {})


def test_a_makers_country_is_no_evidence() -> None:
    (lead,) = extract("<p>Tel 020 7946 0000</p><p>Website by Pixel, Deutschland, +49 30 23125001</p>", URL)
    assert numbers(lead) == [OURS]
