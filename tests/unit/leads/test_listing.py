"""Pages of one site about the business of another: whose name, website, profiles and sign they show."""

from __future__ import annotations

import json

import pytest

from leads.extract import extract
from leads.model import Lead

URL = "https://www.yellowlist.com/biz/marios-pizza"
BODY = """<a href='/'><img class=logo src=/logo.png alt='YellowList'></a><h1>Mario's Pizza</h1>
<p>12 Alder St<br>Fairview, ME 04999</p><p>(207) 555-0142</p>"""
FOOTER = """<footer><a href='https://twitter.com/yellowlist'>t</a><a href='https://facebook.com/mariospizza'>f</a>
© 2020 YellowList Inc. All rights reserved</footer>"""
WEBSITE = "<dl><dt>Website</dt><dd><a href='https://mariospizza.com'>mariospizza.com</a></dd></dl>"
MAIL = "<p>mario@mariospizza.com</p>"


def read(body: str, head: str = "<title>Mario's Pizza - YellowList</title>", url: str = URL) -> list[Lead]:
    return extract(f"<html><head>{head}</head><body>{body}</body></html>", url)


@pytest.mark.parametrize(
    "head",
    [
        "<title>Mario's Pizza - Fairview | YellowList</title>",
        "<title>YellowList: Mario's Pizza in Fairview</title><meta property='og:site_name' content='YellowList'>",
        "<meta name='application-name' content='YellowList'><meta property='og:title' content=\"Mario's Pizza\">",
    ],
)
def test_the_business_is_named_and_not_the_directory(head: str) -> None:
    (lead,) = read(BODY + WEBSITE + FOOTER, head)
    assert (lead.display_name, lead.website) == ("Mario's Pizza", "https://mariospizza.com")
    assert (lead.socials, lead.logo) == ({"facebook": "https://facebook.com/mariospizza"}, None)


def test_a_mail_domain_that_the_heading_spells_tells_a_listing() -> None:
    (lead,) = read(BODY + MAIL + FOOTER)
    assert (lead.display_name, lead.website) == ("Mario's Pizza", None)


@pytest.mark.parametrize("url", ["https://www.mariospizza.com/", "https://www.mariospizza.com/contact"])
def test_a_businesss_own_page_is_no_listing(url: str) -> None:
    (lead,) = read(BODY.replace("YellowList", "Mario's Pizza") + MAIL, "<title>Mario's Pizza</title>", url)
    assert (lead.display_name, lead.website) == ("Mario's Pizza", "https://www.mariospizza.com/")
    assert lead.logo == "https://www.mariospizza.com/logo.png"


def test_a_category_is_read_where_a_business_is_filed_under_it() -> None:
    filed = "<dl><dt>Category:</dt><dd>Pizza, Take-away</dd></dl>"
    (lead,) = read(BODY + WEBSITE + filed)
    assert (lead.categories, lead.provenance["categories"].source) == (["Pizza", "Take-away"], "text")
    (own,) = read(f"{BODY}<p>Category: News</p>", url="https://www.mariospizza.com/blog")
    assert own.categories == []


def signed(publisher: str) -> str:
    graph = [
        {
            "@type": "Organization",
            "name": publisher,
            "url": "https://www.yellowlist.com/",
            "sameAs": "https://x.com/yl",
        },
        {"@type": "Restaurant", "name": "Mario's Pizza", "telephone": "+1 207 555 0142"},
    ]
    return f"<script type='application/ld+json'>{json.dumps({'@graph': graph})}</script>"


def test_who_signs_the_page_is_not_whom_it_lists() -> None:
    (lead,) = read(signed("YellowList") + BODY)
    assert (lead.display_name, lead.website, lead.socials) == ("Mario's Pizza", None, {})


def test_who_signs_the_page_by_the_businesss_name_is_the_business() -> None:
    (lead,) = read(signed("Mario's Pizza Inc.") + BODY)
    assert (lead.display_name, lead.website) == ("Mario's Pizza", "https://www.yellowlist.com/")
    assert lead.socials == {"twitter": "https://x.com/yl"}


def test_every_business_of_a_list_has_its_own_heading() -> None:
    cards = "".join(
        f"<li><h3><a href='/{name}'>{name} Cafe</a></h3><p>{number} High Street, London N1 9ZZ</p></li>"
        for number, name in ((7, "Oak"), (8, "Elm"), (9, "Ash"))
    )
    leads = read(f"<h1>Cafes in London</h1><ul>{cards}</ul>", "<title>Cafes | Town</title>", "https://town.co.uk/cafes")
    assert [lead.display_name for lead in leads] == ["Oak Cafe", "Elm Cafe", "Ash Cafe"]


def test_the_offices_of_one_business_share_its_name() -> None:
    body = """<h1>Oak Dental</h1><h3>Head Office</h3><p>7 High Street, London N1 9ZZ</p>
    <h3>Sales Office</h3><p>9 Low Street, Preston PR1 2AB</p>"""
    leads = read(body, "<title>Oak Dental</title>", "https://oak-dental.co.uk/contact")
    assert [lead.display_name for lead in leads] == ["Oak Dental", "Oak Dental"]


@pytest.mark.parametrize(
    ("body", "rating"),
    [
        ("<p>4.7 out of 5 stars</p><p>(1,128 reviews)</p>", (4.7, 1128)),
        ("<p>Bewertung: 4,7 von 5 (128 Bewertungen)</p>", (4.7, 128)),
        ("<i aria-label='Rated 4.5 out of 5'></i>", (4.5, None)),
        ("<p>4.8 ★</p>", (4.8, None)),
        ("<p>Lamp: 4.7 out of 5 stars</p><p>Table: 3.9 out of 5 stars</p>", (None, None)),
        ("<p>Page 4 of 5</p><p>Size 4/5</p>", (None, None)),
        ("<p>12 reviews</p>", (None, None)),
    ],
)
def test_a_rating_in_the_layout(body: str, rating: tuple[float | None, int | None]) -> None:
    (lead,) = read(f"<h1>Mario's Pizza</h1><p>(207) 555-0142</p>{body}", url="https://mariospizza.com/")
    assert (lead.rating, lead.review_count) == rating


def test_one_house_number_in_two_towns_is_two_offices() -> None:
    body = "<h1>Oak Dental</h1><p>12 High Street, Dublin, Ireland</p><p>text</p><p>12 Low Street, Galway, Ireland</p>"
    leads = read(body, "<title>Oak Dental</title>", "https://oak-dental.ie/contact")
    assert [lead.address and lead.address.city for lead in leads] == ["Dublin", "Galway"]
