"""What the sources decide, without a browser: pages in, visits and leads out."""

from __future__ import annotations

import pytest

from browser_node.scraping.errors import BadQuery
from browser_node.scraping.options import UnitOptions
from browser_node.scraping.sources.base import Link, PageView, Reads, Step, Visit
from browser_node.scraping.sources.directory import Directory
from browser_node.scraping.sources.ledger import Ledger, of_one_site
from browser_node.scraping.sources.website import Website
from browser_node.scraping.sources.words import kind_of
from browser_node.scraping.wanted import Wanted
from leads.model import Address, Lead, Phone, Validation

HOME = "http://shop.test/"
VALID = Validation.VALID


def phone(e164: str) -> Phone:
    return Phone(raw=e164, normalized_e164=e164, validation_status=VALID)


def view(visit: Visit, *links: tuple[str, str], leads: list[Lead] | None = None, url: str = "") -> PageView:
    return PageView(visit, url or visit.url, links=[Link(*link) for link in links], leads=leads or [])


def website(**options: object) -> Website:
    return Website(HOME, UnitOptions.parse(options))


@pytest.mark.parametrize(
    ("path", "text", "label"),
    [
        ("/kontakt", "", "contact page"),
        ("/x", "Contact us", "contact page"),
        ("/x", "Contáctenos", None),
        ("/x", "Contacto", "contact page"),
        ("/impressum.html", "", "imprint"),
        ("/x", "Mentions légales", "imprint"),
        ("/aviso-legal", "", "imprint"),
        ("/over-ons", "", "about page"),
        ("/x", "Über uns", "about page"),
        ("/chi-siamo", "", "about page"),
        ("/our-branches", "", "locations page"),
        ("/x", "Unsere Filialen", "locations page"),
        ("/team", "", "team page"),
        ("/x", "お問い合わせ", "contact page"),
        ("/privacy-contact", "", None),
        ("/cart", "Contact", None),
        ("/products", "Lenses", None),
        ("/calendar/1", "Events", None),
    ],
)
def test_links_are_told_apart_in_many_languages(path: str, text: str, label: str | None) -> None:
    kind = kind_of(f"http://shop.test{path}", text)
    assert (kind.label if kind else None) == label


def test_home_leads_to_contact_pages_of_the_same_site_best_first() -> None:
    (seed,) = website().seeds()
    step = website().after(
        view(
            seed,
            ("http://shop.test/about", "About"),
            ("http://www.shop.test/contact", "Contact"),
            ("http://agency.test/contact", "Contact"),
            ("http://shop.test/contact.pdf", "Contact"),
            ("http://shop.test/goods", "Goods"),
        ),
        {},
    )
    assert [(visit.url, visit.depth) for visit in sorted(step.visits, key=lambda visit: visit.priority)] == [
        ("http://www.shop.test/contact", 1),
        ("http://shop.test/about", 1),
    ]


def test_depth_is_capped() -> None:
    deep = Visit("http://shop.test/contact", depth=2)
    assert website().after(view(deep, ("http://shop.test/imprint", "Imprint")), {}).visits == []


def test_without_a_contact_link_the_sitemap_is_asked() -> None:
    (seed,) = website().seeds()
    source = website()
    step = source.after(view(seed, ("http://shop.test/goods", "Goods")), {})
    (sitemap,) = step.visits
    assert (sitemap.url, sitemap.reads) == ("http://shop.test/sitemap.xml", Reads.SITEMAP)
    found = source.after(view(sitemap, ("http://shop.test/goods", ""), ("http://shop.test/kontakt", "")), step.remember)
    assert [visit.url for visit in found.visits] == ["http://shop.test/kontakt"]


def test_a_seed_that_redirects_moves_the_site_and_other_pages_that_do_are_left() -> None:
    (seed,) = website().seeds()
    moved = website().after(view(seed, ("http://new.test/contact", "Contact"), url="http://new.test/"), {})
    assert [visit.url for visit in moved.visits] == ["http://new.test/contact"]
    away = view(Visit("http://new.test/contact"), url="http://maps.test/", leads=[Lead(phones=[phone("+4930123456")])])
    assert website().after(away, moved.remember).leads == ()


@pytest.mark.parametrize("query", ["dentists in Berlin", "ftp://x.test/", "javascript:alert(1)"])
def test_a_query_that_is_no_address_is_refused(query: str) -> None:
    for platform in (Website, Directory):
        with pytest.raises(BadQuery):
            platform(query, UnitOptions()).seeds()


def state_after(step: Step, before: dict[str, str]) -> dict[str, str]:
    return {**before, **step.remember}


def test_one_business_on_several_pages_is_told_once_and_again_when_it_grows() -> None:
    source = website()
    state: dict[str, str] = {}
    name_only = Lead(display_name="Oak Bakery")
    with_phone = Lead(display_name="Oak Bakery", phones=[phone("+4930123456")])
    with_email = Lead(display_name="Oak Bakery GmbH", emails=["post@oak.example"])
    told = []
    for lead in (name_only, with_phone, with_phone, with_email, with_email):
        step = source.after(view(Visit(HOME, kind="home"), leads=[lead]), state)
        state = state_after(step, state)
        told.append((len(step.leads), len(step.grown)))
    assert told == [(0, 0), (1, 0), (0, 0), (0, 1), (0, 0)]
    (known,) = [text for name, text in state.items() if name.startswith("l")]
    assert "post@oak.example" in known
    assert "+4930123456" in known


def test_branches_are_leads_of_their_own() -> None:
    def branch(code: str, number: str) -> Lead:
        return Lead(display_name="Oak", address=Address(postal_code=code), phones=[phone(number)])

    fresh, grown = Ledger({}).record([branch("10115", "+4930123456"), branch("20095", "+4940123456")])
    assert (len(fresh), len(grown)) == (2, 0)


def test_phone_only_tells_a_business_once_its_phone_is_known() -> None:
    ledger = Ledger({}, Wanted(phone_only=True))
    assert ledger.record([Lead(display_name="Oak", emails=["a@oak.example"])]) == ([], [])
    fresh, grown = ledger.record([Lead(display_name="Oak", phones=[phone("+4930123456")])])
    assert ([lead.emails for lead in fresh], grown) == ([["a@oak.example"]], [])


def test_two_shops_of_one_name_with_other_phones_are_two() -> None:
    one = Lead(display_name="Oak", phones=[phone("+4930123456")])
    other = Lead(display_name="Oak", phones=[phone("+4940123456")])
    assert not of_one_site(one, other)
    assert of_one_site(one, Lead(display_name="OAK Ltd", emails=["a@oak.example"]))


LISTING = "http://dir.test/?page=1"


def listing_links(*names: str) -> list[tuple[str, str]]:
    return [(f"http://dir.test/business/{name}", name.title()) for name in names]


def test_a_listing_gives_its_items_and_the_next_page() -> None:
    (seed,) = Directory(LISTING, UnitOptions()).seeds()
    categories = [(f"http://dir.test/category/c{number}", "C") for number in range(9)]
    links = [*categories, *listing_links("a", "b", "c", "d"), ("http://dir.test/?page=2", "2")]
    step = Directory(LISTING, UnitOptions()).after(view(seed, *links), {})
    assert [visit.url for visit in step.visits if visit.kind == "detail"] == [
        f"http://dir.test/business/{name}" for name in "abcd"
    ]
    assert [visit.url for visit in step.visits if visit.kind == "listing"] == ["http://dir.test/?page=2"]


def test_a_last_page_with_one_item_is_read_by_the_family_of_the_first() -> None:
    source = Directory(LISTING, UnitOptions())
    page = view(Visit("http://dir.test/?page=3", kind="listing", depth=2), *listing_links("z"))
    step = source.after(page, {"family": "/business/*"})
    assert [visit.url for visit in step.visits] == ["http://dir.test/business/z"]


@pytest.mark.parametrize(
    ("links", "items"),
    [
        (["/business/oak", "/business/elm"], ["/business/oak", "/business/elm"]),  # a small category
        (["/business/oak"], []),
        (["/oak", "/elm"], []),  # two pages at the top are a menu
        (["/legal/terms", "/legal/cookies"], []),
        (["/oak", "/elm", "/yew"], ["/oak", "/elm", "/yew"]),
    ],
)
def test_two_items_are_a_listing_where_they_have_a_folder(links: list[str], items: list[str]) -> None:
    (seed,) = Directory(LISTING, UnitOptions()).seeds()
    told = [(f"http://dir.test{path}", "Some name") for path in links]
    step = Directory(LISTING, UnitOptions()).after(view(seed, *told), {})
    assert [visit.url.removeprefix("http://dir.test") for visit in step.visits if visit.kind == "detail"] == items


def test_next_in_words_beats_numbers_and_pagination_ends() -> None:
    source = Directory(LISTING, UnitOptions.parse({"depth_cap": 1}))
    links = [*listing_links("a", "b", "c"), ("http://dir.test/p/abc", "Weiter ›")]
    first = source.after(view(Visit(LISTING, kind="listing"), *links), {})
    assert "http://dir.test/p/abc" in [visit.url for visit in first.visits]
    last = source.after(
        view(Visit("http://dir.test/p/abc", kind="listing", depth=1), *links[:3], ("http://dir.test/p/d", "Next")), {}
    )
    assert [visit.kind for visit in last.visits] == ["detail"] * 3


def test_a_detail_page_gives_the_business_its_link_named() -> None:
    operator = Lead(display_name="Town Guide Ltd", phones=[phone("+4930999999")])
    wanted = Lead(display_name="Oak Bakery", phones=[phone("+4930123456")])
    visit = Visit("http://dir.test/business/oak", kind="detail", data="Oak Bakery")
    step = Directory(LISTING, UnitOptions()).after(view(visit, leads=[operator, wanted]), {})
    assert step.leads == [wanted]


def test_enriching_adds_what_the_business_says_itself() -> None:
    source = Directory(LISTING, UnitOptions.parse({"enrich_websites": True}))
    listed = Lead(display_name="Oak", phones=[phone("+4930123456")], website="http://oak.test/")
    step = source.after(view(Visit("http://dir.test/business/oak", kind="detail"), leads=[listed]), {})
    (site,) = step.visits
    assert site.url == "http://oak.test/"
    home = source.after(view(site, ("http://oak.test/contact", "Contact"), leads=[]), {})
    assert home.grown == []
    own = Lead(display_name="Oak", emails=["a@oak.example"], phones=[phone("+4930123456")])
    contact = source.after(view(home.visits[0], leads=[own]), {})
    assert [lead.emails for lead in contact.grown] == [["a@oak.example"]]
    assert not contact.visits


def test_an_imprint_is_read_when_the_contact_page_leaves_something_out() -> None:
    source = Directory(LISTING, UnitOptions.parse({"enrich_websites": True}))
    listed = Lead(display_name="Oak", phones=[phone("+4930123456")], website="http://oak.test/")
    (site,) = source.after(view(Visit("http://dir.test/business/oak", kind="detail"), leads=[listed]), {}).visits
    links = [("http://oak.test/impressum", "Impressum"), ("http://oak.test/kontakt", "Kontakt")]
    visited, visits = [], [site]
    while visits:
        (visit,) = visits
        visited.append(visit.url)
        visits = list(source.after(view(visit, *links), {}).visits)
    assert visited == ["http://oak.test/", "http://oak.test/kontakt", "http://oak.test/impressum"]


@pytest.mark.parametrize(
    ("links", "website"),
    [
        ([("http://oak.test/", "Visit website")], "http://oak.test/"),
        ([("http://other.test/", "Partner"), ("http://oak.test/", "www.oak.test")], "http://oak.test/"),
        ([("http://listing.test/about", "Website")], None),
        ([], None),
    ],
)
def test_the_directorys_own_address_is_not_the_businesses(links: list[tuple[str, str]], website: str | None) -> None:
    detail = Visit("http://listing.test/b/oak", kind="detail", data="Oak")
    told = Lead(display_name="Oak", phones=[phone("+4930123456")], website="http://listing.test/")
    step = Directory(LISTING, UnitOptions.parse({})).after(view(detail, *links, leads=[told]), {})
    assert [lead.website for lead in step.leads] == [website]
