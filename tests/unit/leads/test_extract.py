"""Whole pages: each syntax, each way of hiding a contact, and which business gets what."""

from __future__ import annotations

import json

import pytest

from infra.sample_town.businesses import build_town
from infra.sample_town.replies import Page
from infra.sample_town.sites import build_sites
from infra.sample_town.truth import load_truth
from leads.extract import extract
from leads.model import Lead, Validation
from tests.support import shared_data

URL = "https://oak-dental.co.uk/contact"


def page(body: str, head: str = "", lang: str = "en") -> str:
    return f"<!doctype html><html lang='{lang}'><head>{head}</head><body>{body}</body></html>"


def numbers(lead: Lead) -> list[str | None]:
    return [phone.normalized_e164 for phone in lead.phones if phone.validation_status is Validation.VALID]


JSON_LD = """<script type="application/ld+json">
{ /* made by hand */ "@context": "https://schema.org", "@graph": [
  {"@type": "WebSite", "publisher": {"@id": "#org"}},
  {"@type": "Dentist", "@id": "#org", "name": "Oak Dental", "telephone": "020 7946 0000", "faxNumber": "020 7946 0001",
   "email": "info@oak-dental.co.uk", "url": "/", "sameAs": ["https://www.facebook.com/oakdental"],
   "address": {"@type": "PostalAddress", "streetAddress": "7 High Street", "addressLocality": "London",
               "postalCode": "N1 9ZZ", "addressCountry": "GB"},
   "geo": {"latitude": "51.5", "longitude": -0.14}, "aggregateRating": {"ratingValue": "4.8", "reviewCount": "1,204"},
   "openingHoursSpecification": [{"dayOfWeek": ["Monday", "Tuesday", "Wednesday"], "opens": "09:00",
                                 "closes": "17:00"}],
  }, // the last comma is ours
]}</script>"""

MICRODATA = """<div itemscope itemtype="https://schema.org/Dentist"><h1 itemprop="name">Oak Dental</h1>
<span itemprop="telephone">020 7946 0000</span> Fax <span itemprop="faxNumber">020 7946 0001</span>
<a itemprop="email" href="mailto:info@oak-dental.co.uk">write</a>
<div itemprop="address" itemscope itemtype="https://schema.org/PostalAddress">
<span itemprop="streetAddress">7 High Street</span>, <span itemprop="addressLocality">London</span>
<span itemprop="postalCode">N1 9ZZ</span><meta itemprop="addressCountry" content="GB"></div></div>"""

H_CARD = """<div class="vcard"><b class="fn org">Oak Dental</b> <span class="tel">020 7946 0000</span>
<span class="tel"><i class="type">Fax</i> <i class="value">020 7946 0001</i></span>
<a class="email" href="mailto:info@oak-dental.co.uk">mail</a>
<div class="adr"><span class="street-address">7 High Street</span>
<span class="locality">London</span> <span class="postal-code">N1 9ZZ</span>
<span class="country-name">UK</span></div></div>"""

LAYOUT = """<h1>Oak Dental</h1><p>7 High Street<br>London<br>N1 9ZZ</p>
<table><tr><td>Phone</td><td><span>020</span> <b>7946</b> <i>0000</i></td></tr>
<tr><td>Fax:</td><td>020 7946 0001</td></tr></table>
<p>info [at] oak-dental [dot] co [dot] uk</p>"""


OPEN_GRAPH = """<meta property="og:site_name" content="Oak Dental">
<meta property="business:contact_data:phone_number" content="020 7946 0000">
<meta property="business:contact_data:fax_number" content="020 7946 0001">
<meta property="business:contact_data:email" content="info@oak-dental.co.uk">
<meta property="business:contact_data:street_address" content="7 High Street">
<meta property="og:locality" content="London"><meta property="og:postal-code" content="N1 9ZZ">
<meta property="og:country-name" content="United Kingdom">"""

SYNTAXES = {
    "json_ld": JSON_LD, "microdata": MICRODATA, "h_card": H_CARD, "open_graph": OPEN_GRAPH, "layout": LAYOUT,
}  # fmt: skip


@pytest.mark.parametrize("body", SYNTAXES.values(), ids=SYNTAXES)
def test_the_same_business_in_every_syntax(body: str) -> None:
    (lead,) = extract(page(body, "<title>Contact us | Oak Dental</title>"), URL)
    assert lead.display_name == "Oak Dental"
    assert numbers(lead) == ["+442079460000", "+442079460001"]
    assert [phone.kind for phone in lead.phones] == ["voice", "fax"]
    assert lead.emails == ["info@oak-dental.co.uk"]
    assert lead.address is not None
    assert lead.address.model_dump() == {
        "street": "7 High Street", "city": "London", "region": None, "postal_code": "N1 9ZZ", "country": "GB",
    }  # fmt: skip
    assert {"display_name", "phones", "emails", "address"} <= lead.provenance.keys()


def test_what_json_ld_tells_beyond_contacts() -> None:
    (lead,) = extract(page(JSON_LD), URL)
    assert (lead.rating, lead.review_count, lead.categories) == (4.8, 1204, ["Dentist"])
    assert lead.opening_hours == ["Mo-We 09:00-17:00"]
    assert lead.socials == {"facebook": "https://www.facebook.com/oakdental"}
    assert lead.geo is not None
    assert (lead.geo.latitude, lead.geo.longitude) == (51.5, -0.14)
    assert lead.website == "https://oak-dental.co.uk/"
    assert lead.provenance["rating"].source == "json_ld"


def test_the_country_is_inferred_per_number() -> None:
    body = """<h2>Australia</h2><p>Ph: 03 5550 0199</p><p>one</p><p>two</p><p>three</p><p>four</p><p>five</p><p>six</p>
    <h2>France</h2><p>Tél. 01 99 00 12 34</p><p>a</p><p>b</p><p>c</p><p>d</p><p>e</p><p>f</p>
    <h2>United States</h2><p>Call (212) 555-0142</p>"""
    leads = extract(page(body), "https://world.com/")
    assert [number for lead in leads for number in numbers(lead)] == ["+61355500199", "+33199001234", "+12125550142"]


@pytest.mark.parametrize(
    "body",
    [
        '<a class="__cf_email__" data-cfemail="553c3b333a1534257b363a38">[email&#160;protected]</a>',
        "info&#64;ap&#46;com",
        "<span style='unicode-bidi: bidi-override; direction: rtl'>moc.pa@ofni</span>",
        "<style>.rev { unicode-bidi:bidi-override }</style><b class='rev'>moc.pa@ofni</b>",
        "info<!-- no -->@<b>ap</b>.com",
        "<a href='mailto:%69nfo@ap.com'>write</a>",
        "<img src='m.gif' alt='info@ap.com'>",
        "<noscript>info at ap dot com</noscript>",
    ],
)
def test_hidden_addresses_are_read(body: str) -> None:
    (lead,) = extract(page(f"<p>{body}</p>"), "https://ap.com/")
    assert lead.emails == ["info@ap.com"]


def test_what_a_reader_cannot_see_is_no_contact() -> None:
    body = """<p style="display:none">020 7946 0000</p><script>var x = "020 7946 0000"</script><p hidden>a@ap.com</p>
    <p>Company number 07946 000012</p><p>Website by Pixel Ltd, 020 7946 0000</p>"""
    assert [lead for lead in extract(page(body), URL) if lead.phones or lead.emails] == []


def test_branches_are_leads_of_their_own() -> None:
    body = """<h1>Oak Dental</h1>
    <h2>London</h2><p>7 High Street<br>London<br>N1 9ZZ</p><p>Tel 020 7946 0000</p>
    <h2>Preston</h2><p>9 Low Street<br>Preston<br>PR1 2AB</p><p>Tel 01772 123456</p>"""
    leads = extract(page(body, "<title>Oak Dental - Locations</title>"), URL)
    assert [(lead.display_name, lead.address and lead.address.city, numbers(lead)) for lead in leads] == [
        ("Oak Dental", "London", ["+442079460000"]),
        ("Oak Dental", "Preston", ["+441772123456"]),
    ]


def test_a_phone_leads_back_to_its_element() -> None:
    (lead,) = extract(page("<div id='c'><p>x</p><p>Tel 020 7946 0000</p></div>"), URL)
    assert lead.phones[0].phone_element_selector == "#c > p:nth-of-type(2)"
    assert (lead.phones[0].raw, lead.phones[0].source) == ("020 7946 0000", "text")


@pytest.mark.parametrize("html", ["", "   ", "<", "<html>", "\x00\x00", "<!doctype html>", "plain words"])
def test_a_page_of_nothing_is_no_lead(html: str) -> None:
    assert extract(html, URL) == []


@pytest.mark.parametrize(
    "markup",
    [
        "<dl><dt>Website</dt><dd><a href='https://roma.example.org/'>roma.example.org</a></dd></dl>",
        "<p>Webseite: <a href='https://roma.example.org/'>hier</a></p>",
        "<p><a href='https://roma.example.org/'>Visit website</a></p>",
    ],
)
def test_a_listing_links_to_the_website_of_its_business(markup: str) -> None:
    (lead,) = extract(page(f"<h1>Roma</h1><p>info@roma.example.org</p>{markup}"), "https://listings.example.com/roma")
    assert lead.website == "https://roma.example.org/"


def test_a_page_that_names_no_other_website_is_its_own() -> None:
    body = "<p>info@ap.com</p><p>Website by <a href='https://pixel.example.org'>Pixel</a></p>"
    (lead,) = extract(page(body), "https://ap.com/contact")
    assert lead.website == "https://ap.com/"


@pytest.mark.parametrize("url", ["", "http://[", "file:///x", "https://1.2.3.4/", "no address"])
def test_any_address_of_the_page_is_survived(url: str) -> None:
    (lead,) = extract(page("<a href='http://[x'>y</a><a href='//[::1'>z</a><p>info@oak-dental.co.uk</p>"), url)
    assert lead.emails == ["info@oak-dental.co.uk"]


@pytest.mark.parametrize(
    "markup",
    [
        "<img src=p.png alt='Call 020 7946 0000'>",
        "<button aria-label='Call 020 7946 0000'><svg></svg></button>",
        "<a href='#' data-phone='02079460000'>Show number</a>",
    ],
)
def test_a_number_may_stand_in_an_attribute(markup: str) -> None:
    (lead,) = extract(page(f"<h1>Oak Dental</h1>{markup}"), URL)
    assert (numbers(lead), lead.phones[0].source) == (["+442079460000"], "attribute")
    assert lead.phones[0].phone_element_selector is not None


def test_metas_without_contact_data_are_no_business_of_their_own() -> None:
    head = "<meta property='og:site_name' content='Oak Dental'><meta property='og:region' content='London'>"
    assert len(extract(page("<p>Tel 020 7946 0000</p>", head), URL)) == 1


def test_a_profile_may_be_written_and_not_linked() -> None:
    (lead,) = extract(page("<p>Follow us: www.instagram.com/oakdental/reels, tel 020 7946 0000</p>"), URL)
    assert lead.socials == {"instagram": "https://www.instagram.com/oakdental"}
    assert lead.provenance["socials"].source == "text"


def test_share_buttons_are_no_profiles() -> None:
    body = """<a href="https://twitter.com/intent/tweet?x">t</a><a href="https://www.facebook.com/sharer.php?u=1">f</a>
    <a href="https://twitter.com/oakdental">t</a><p>info@oak-dental.co.uk</p>"""
    (lead,) = extract(page(body), URL)
    assert lead.socials == {"twitter": "https://twitter.com/oakdental"}


# Contact data that needs no browser: what scripts, banners and frames bring is for the browser node's tests.
_NEEDS_BROWSER = {"script_after_delay", "script_fetch", "behind_cookie_banner", "iframe"}


def test_the_static_sites_of_the_sample_town_are_read_without_fault() -> None:
    sites = build_sites(build_town())
    checked = 0
    for business in load_truth()["businesses"]:
        if business["contact_style"] in _NEEDS_BROWSER or business["email_style"] == "joined_by_script":
            continue
        if "robots" in business["traits"]:  # has pages that nobody may read
            continue
        label = business["site_url"].removeprefix("http://").removesuffix(".town.test/")
        leads = [
            lead
            for path, reply in sites[label].pages.items()  # type: ignore[attr-defined]
            if isinstance(reply, Page) and "html" in reply.content_type
            for lead in extract(reply.body.decode(), business["site_url"].rstrip("/") + path)
        ]
        branches = {number for branch in business["branches"] for number in branch.get("phones", [])}
        found = {number for lead in leads for number in numbers(lead)}
        assert found == set(business["phones"]) | set(business["faxes"]) | branches, business["name"]
        assert {address for lead in leads for address in lead.emails} == set(business["emails"]), business["name"]
        assert business["name"] in {lead.display_name for lead in leads}
        checked += 1
    assert checked > 30


# What one syntax of an example says and another does not: the example's own difference, and ours to keep.
_UNEQUAL_EXAMPLES = {
    "eg-0001": "a person, no business: only what stands in the visible text is found",
    "eg-0429": "the sponsor's address on the web differs between the syntaxes",
    "eg-0438": "the RDFa closes its item before it gives the address",
    "eg-0007": "the RDFa writes the street without its accent",
    "eg-0192": "the JSON-LD lacks the full stop of the description",
    "eg-0198": "the JSON-LD has the full text where the others have dots",
}


def _facts(lead: Lead) -> dict[str, object]:
    facts = lead.model_dump(exclude={"provenance", "source_url", "email_details", "phones", "categories"})
    phones = {(phone.normalized_e164 or phone.raw, phone.kind) for phone in lead.phones}
    return {**facts, "phones": phones, "categories": set(lead.categories)}  # an example's types come in any order


def test_every_syntax_of_the_vocabularys_examples_tells_the_same() -> None:
    lines = (shared_data() / "schemaorg-dev" / "business_examples.jsonl").read_text(encoding="utf-8").splitlines()
    compared, unequal = 0, set()
    for example in map(json.loads, lines):
        marks = {"microdata": "itemscope", "rdfa": "typeof", "json_html": "ld+json"}
        syntaxes = [example[name] for name, mark in marks.items() if mark in (example[name] or "")]
        told = [[_facts(lead) for lead in extract(page(text), "https://example.com/")] for text in syntaxes]
        if any(each != told[0] for each in told[1:]):
            unequal.add(example["id"])
        compared += len(told) > 1
    assert unequal == set(_UNEQUAL_EXAMPLES)
    assert compared > 15


def test_an_additional_type_counts_as_one() -> None:
    body = """<div itemscope itemtype="https://schema.org/TouristAttraction"><b itemprop="name">Mill Museum</b>
    <link itemprop="additionalType" href="https://schema.org/Museum"><i itemprop="telephone">020 7946 0000</i></div>"""
    (lead,) = extract(page(body), URL)
    assert lead.categories == ["Tourist Attraction", "Museum"]


def test_the_venue_of_an_event_is_a_business() -> None:
    body = """<script type="application/ld+json">{"@type": "Event", "name": "Jazz", "location": {"@type": "Place",
    "name": "Mill Bar", "address": {"streetAddress": "9 Low Street", "postalCode": "PR1 9ZZ"}}}</script>"""
    (lead,) = extract(page(body), URL)
    assert (lead.display_name, lead.address and lead.address.postal_code) == ("Mill Bar", "PR1 9ZZ")
