"""Structured data beyond the plain case: cards, graphs, branches, and JSON as the web has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leads.extract import extract
from leads.model import Lead, Validation

ONE, TWO = "+442079460001", "+442079460002"


def leads_of(body: str, head: str = "") -> list[Lead]:
    return extract(f"<!doctype html><html><head>{head}</head><body>{body}</body></html>", "https://mill.example.com/")


def json_ld(data: Any) -> list[Lead]:
    return leads_of(f"<script type='application/ld+json'>{json.dumps(data)}</script>")


def told(lead: Lead) -> tuple[str | None, str | None, list[str | None]]:
    """Name, town and valid numbers."""
    numbers = [phone.normalized_e164 for phone in lead.phones if phone.validation_status is Validation.VALID]
    return lead.display_name, lead.address and lead.address.city, numbers


CARD = """<div class="vcard"><a class="fn org url" href="http://mill.example.org">Mill Bakery</a>
<div class="adr"><div class="street-address">1 High St</div><span class="locality">Reno</span>,
<abbr class="region" title="NV">Nevada</abbr> <span class="postal-code">89501</span></div>
<div class="tel"><span class="type">Work</span>
<span class="value">(775) 322-</span><span class="value">0100</span></div>
<div class="tel"><abbr class="type" title="fax">F</abbr> <span class="value">(775) 322-0101</span></div>
<div class="geo"><abbr class="latitude" title="39.52">N</abbr> <abbr class="longitude" title="-119.81">W</abbr></div>
<img class="logo" src="/l.png"><span class="note">Bread</span> <a class="email" href="mailto:a@mill.example.org">m</a>
</div>"""


def test_a_classic_card() -> None:
    (lead,) = leads_of(CARD)
    assert told(lead) == ("Mill Bakery", "Reno", ["+17753220100", "+17753220101"])
    assert [phone.kind for phone in lead.phones] == ["voice", "fax"]
    assert lead.address is not None
    assert (lead.address.region, lead.address.country) == ("NV", "US")
    assert (lead.geo and lead.geo.latitude, lead.description, lead.emails) == (39.52, "Bread", ["a@mill.example.org"])
    assert (lead.website, lead.logo) == ("http://mill.example.org", "https://mill.example.com/l.png")
    assert {lead.provenance[name].source for name in ("display_name", "geo", "website", "logo")} == {"h_card"}


def test_a_new_card_with_values_for_machines() -> None:
    (lead,) = (
        leads_of("""<div class="h-card"><b class="p-name">Mill</b> <data class="p-tel" value="+3545525555">call</data>
    <p class="p-adr h-adr"><i class="p-locality">Reykjavík</i> <i class="p-country-name">Iceland</i></p>
    <p class="h-geo"><data class="p-latitude" value="64.1"></data><data class="p-longitude" value="-21.9"></data></p>
    <a class="u-url" rel="me" href="https://facebook.com/mill">f</a></div>""")
    )
    assert told(lead) == ("Mill", "Reykjavík", ["+3545525555"])
    assert lead.address is not None
    assert lead.address.country == "IS"
    assert lead.geo is not None
    assert (lead.socials, lead.website) == ({"facebook": "https://facebook.com/mill"}, "https://mill.example.com/")


def test_a_card_that_is_all_name() -> None:
    (lead,) = leads_of("<a class='h-card' href='http://mill.example.org'>Mill Bakery</a> tel +44 20 7946 0001")
    assert (told(lead), lead.website) == (("Mill Bakery", None, [ONE]), "http://mill.example.org")


def test_the_card_of_somebody_at_work_is_the_employers() -> None:
    (lead,) = leads_of(
        "<p class=vcard><b class=fn>Ann Lee</b>, <i class=org>Mill Bakery</i> <i class=tel>+442079460001</i>"
    )
    assert told(lead) == ("Mill Bakery", None, [ONE])


def test_the_card_of_somebody_alone_is_no_business() -> None:
    assert leads_of("<p class=vcard><b class=fn><u class=given-name>Ann</u> Lee</b></p>") == []


def test_a_rating_around_a_card() -> None:
    (lead,) = leads_of("""<div class="hreview-aggregate"><p class="item vcard"><b class="fn org">Mill</b> <i class=tel>
    +44 20 7946 0001</i></p><span class="rating"><b class="average">9</b> of <b class="best">10</b></span>
    <span class="count">1,204</span></div>""")
    assert (lead.rating, lead.review_count) == (4.5, 1204)


def test_branches_that_are_told_inside_their_business() -> None:
    found = json_ld([{
        "@type": "Organization", "name": "Mill", "telephone": "+44 20 7946 0000", "url": "https://mill.example.org/",
        "department": {"@type": "Store", "name": "Mill Shop", "telephone": ["+44 20 7946 0001", "+44 20 7946 0002"]},
        "subOrganization": [{"@type": "LocalBusiness", "name": "Mill North", "address": "1 High St, Preston PR1 2AB"}],
    }])  # fmt: skip
    assert [told(lead) for lead in found] == [
        ("Mill", None, ["+442079460000"]), ("Mill Shop", None, [ONE, TWO]), ("Mill North", "Preston", []),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["address", "location"])
def test_places_of_one_business_are_leads_of_their_own(kind: str) -> None:
    addresses = [
        {"@type": "PostalAddress", "streetAddress": f"{number} High St", "addressLocality": town, "postalCode": code}
        for number, town, code in ((1, "Preston", "PR1 2AB"), (2, "York", "YO1 7AB"))
    ]
    numbers = ["+44 20 7946 0001", "+44 20 7946 0002"]
    places = [
        {**address, "telephone": number} if kind == "address" else
        {"@type": "Place", "address": address, "telephone": number}
        for address, number in zip(addresses, numbers, strict=True)
    ]  # fmt: skip
    found = json_ld({"@type": "Organization", "name": "Mill", "url": "https://mill.example.org/", kind: places})
    assert [told(lead) for lead in found] == [("Mill", "Preston", [ONE]), ("Mill", "York", [TWO])]
    assert {lead.website for lead in found} == {"https://mill.example.org/"}


def test_the_places_of_a_business_are_not_told_twice() -> None:
    places = [
        {"@type": "Place", "name": f"Mill {town}", "telephone": number,
         "address": {"streetAddress": "1 High St", "addressLocality": town, "postalCode": code}}
        for town, code, number in (("Preston", "PR1 2AB", ONE), ("York", "YO1 7AB", TWO))
    ]  # fmt: skip
    found = json_ld({"@type": "Organization", "name": "Mill", "location": places})
    assert [told(lead) for lead in found] == [("Mill", "Preston", [ONE]), ("Mill York", "York", [TWO])]


def test_a_contact_point_may_be_a_fax() -> None:
    (lead,) = json_ld({"@type": "Store", "name": "Mill", "contactPoint": [
        {"@type": "ContactPoint", "telephone": "+44 20 7946 0001", "contactType": "sales", "email": "hi@mill.co.uk"},
        {"@type": "ContactPoint", "telephone": "+44 20 7946 0002", "contactType": "Fax"},
    ]})  # fmt: skip
    assert [(phone.normalized_e164, phone.kind) for phone in lead.phones] == [(ONE, "voice"), (TWO, "fax")]
    assert lead.emails == ["hi@mill.co.uk"]


def test_one_script_may_name_what_another_tells() -> None:
    one = '{"@type": "Store", "name": "Mill", "telephone": "+44 20 7946 0001", "address": {"@id": "#a"}}'
    two = '{"@type": "PostalAddress", "@id": "#a", "addressLocality": "York", "postalCode": "YO1 7AB"}'
    (lead,) = leads_of("".join(f"<script type='application/ld+json'>{each}</script>" for each in (one, two)))
    assert told(lead) == ("Mill", "York", [ONE])


@pytest.mark.parametrize(
    "text",
    [
        '//<![CDATA[\n<!-- {"@type": "Store", "name": "Mill", "telephone": "+44 20 7946 0001",} -->\n//]]>',
        '{"@type": "WebSite"} {"@type": "Store", "name": "Mill", "telephone": "+44 20 7946 0001"}',
        '{"@type": "Store", "name": "Mill", "telephone": "+44 20 7946 0001"}'.replace('"', "&quot;"),
        '{"@type": "Store", // ours\n "name": "Mill", /* old: "Mühle" */ "telephone": ["+44 20 7946 0001",],}',
        '{"@type": "Store", "name": "Mill", "telephone": "+44 20 7946 0001", "description": "two\nlines \\d"}',
    ],
)
def test_json_as_the_web_has_it(text: str) -> None:
    (lead,) = leads_of(f"<script type='application/ld+json'>{text}</script>")
    assert told(lead) == ("Mill", None, [ONE])


def test_a_rating_is_out_of_five_and_a_map_tells_the_place() -> None:
    (lead,) = json_ld({
        "@type": "Store", "name": "Mill", "telephone": "+44 20 7946 0001",
        "hasMap": "https://maps.example.com/?q=51.5074,-0.1478",
        "aggregateRating": {"ratingValue": "86", "bestRating": "100", "ratingCount": "1.204"},
    })  # fmt: skip
    assert (lead.rating, lead.review_count) == (4.3, 1204)
    assert lead.geo is not None
    assert (lead.geo.latitude, lead.geo.longitude) == (51.5074, -0.1478)


def test_open_graph_of_a_business_names_it_in_the_title_and_tells_its_hours() -> None:
    metas = {"og:type": "business.business", "og:title": "Mill Bakery", "og:site_name": "Yellow List",
             "business:contact_data:phone_number": "+44 20 7946 0001", "place:location:latitude": "53.9",
             "place:location:longitude": "-1.08"}  # fmt: skip
    hours = [("day", "monday"), ("start", "08:00"), ("end", "12:00"), ("day", "friday"), ("start", "08:00:00"),
             ("end", "18:00")]  # fmt: skip
    pairs = [*metas.items(), *((f"business:hours:{key}", value) for key, value in hours)]
    (lead,) = leads_of("", "".join(f"<meta property='{key}' content='{value}'>" for key, value in pairs))
    assert told(lead) == ("Mill Bakery", None, [ONE])
    assert lead.opening_hours == ["Mo 08:00-12:00", "Fr 08:00-18:00"]
    assert {name: lead.provenance[name].source for name in ("opening_hours", "geo")} == {
        "opening_hours": "open_graph", "geo": "open_graph",
    }  # fmt: skip
