"""The sites as values: all truth is on them, and every link leads somewhere unless it is meant not to."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from selectolax.lexbor import LexborHTMLParser

from infra.sample_town.businesses import build_town
from infra.sample_town.directory_site import PAGE_SIZE
from infra.sample_town.model import DIRECTORY_URL, SITE_SUFFIX, Business, EmailStyle, PhoneFormat, Trait, site_url
from infra.sample_town.replies import Hang, Page, Redirect, Reply
from infra.sample_town.sites import build_sites, site_urls
from infra.sample_town.words import WORDS
from infra.sample_town.writing import ciphered, entities, written_phone

TOWN = build_town()
SITES = build_sites(TOWN)
MEANT_TO_BE_DEAD = {"/contact-old", "/team.php"}


def get(url: str) -> Reply | None:
    parts = urlsplit(url)
    label = (parts.hostname or "").removesuffix(f".{SITE_SUFFIX}")
    return SITES[label].reply(parts.path, dict(parse_qsl(parts.query)))


def links(page: Page, base: str) -> list[str]:
    tree = LexborHTMLParser(page.body)
    return [urljoin(base, anchor.attributes["href"] or "") for anchor in tree.css("a[href^='/'], a[href^='http']")]


def crawl(start: str, limit: int = 60) -> dict[str, Reply | None]:
    """Every page of the start's site that links lead to, at most ``limit``."""
    host, seen, ahead = urlsplit(start).hostname, {}, [start]
    while ahead and len(seen) < limit:
        url = ahead.pop(0)
        if url in seen or urlsplit(url).hostname != host:
            continue
        seen[url] = reply = get(url)
        if isinstance(reply, Page) and reply.content_type.startswith("text/html"):
            ahead += links(reply, url)
    return seen


def everything_said(business: Business, label: str) -> str:
    """All text of a site, whatever wraps it: markup, JSON, base64; blanks made equal."""
    pages = [reply for reply in crawl(site_url(label)).values() if isinstance(reply, Page)]
    for extra in ("/contact-card", "/contact-card.json", WORDS[business.language].paths["contact"]):
        reply = get(site_url(label, extra))
        if isinstance(reply, Page):
            pages.append(reply)
    said = []
    for page in pages:
        text = json.loads(page.body)["markup"] if page.content_type == "application/json" else page.body.decode()
        said.append(text)
        said += [base64.b64decode(code).decode() for code in re.findall(r'atob\("([^"]+)"\)', text)]
    without_tags = re.sub(r"<(?!a |script)[^>]*>", "", "\n".join(said)).replace("&nbsp;", " ")
    return without_tags + html.unescape(without_tags)


def hidden_email(business: Business) -> str:
    """The piece of markup that its e-mail style leaves of an address."""
    email = business.emails[0]
    words = WORDS[business.language]
    user, _, host = email.partition("@")
    match business.email_style:
        case EmailStyle.ENTITIES:
            return entities(email)
        case EmailStyle.AT_DOT:
            return user + words.at + host.replace(".", words.dot)
        case EmailStyle.CIPHERED_ATTRIBUTE:
            return ciphered(email)
        case EmailStyle.JOINED_BY_SCRIPT:
            return f'["{user}", "{host}"]'
        case _:
            return email


@pytest.mark.parametrize("business", TOWN.businesses, ids=lambda business: business.id)
def test_own_sites_hold_name_phones_and_email(business: Business) -> None:
    for label in business.labels:
        said = everything_said(business, label)
        assert business.name in said
        for phone in business.phones if not business.has(Trait.BRANCHES) else [b.phone for b in business.branches]:
            written = {written_phone(phone, style) for style in type(business.phone_format)}
            assert any(form in said for form in written | {phone}), phone
        assert hidden_email(business) in said


@pytest.mark.parametrize("business", TOWN.businesses, ids=lambda business: business.id)
def test_links_of_a_site_lead_somewhere(business: Business) -> None:
    dead = {urlsplit(url).path for url, reply in crawl(business.url).items() if reply is None}
    assert dead == (MEANT_TO_BE_DEAD if business.has(Trait.BROKEN_LINKS) else set())


def test_directory_leads_to_every_business_with_its_phone_and_site() -> None:
    listed: list[str] = []
    url: str | None = DIRECTORY_URL
    while url:
        page = get(url)
        assert isinstance(page, Page)
        tree = LexborHTMLParser(page.body)
        listed += [urljoin(url, a.attributes["href"] or "") for a in tree.css(".listing h3 a")]
        following = tree.css_first("a[rel=next]")
        url = urljoin(url, following.attributes["href"] or "") if following else None
    assert len(listed) == len(TOWN.businesses) + 1  # one of them pays to stand on the first page as well
    assert set(listed) == {f"{DIRECTORY_URL}business/{business.label}" for business in TOWN.businesses}
    for business in TOWN.businesses:
        detail = get(f"{DIRECTORY_URL}business/{business.label}")
        assert isinstance(detail, Page)
        text = LexborHTMLParser(detail.body).text()
        assert business.name in text
        assert written_phone(business.phones[0], PhoneFormat.INTERNATIONAL) in text
        linked = [link for link in links(detail, DIRECTORY_URL) if not link.startswith(DIRECTORY_URL)]
        assert [link.replace("//www.", "//") for link in linked] == [business.url]


@pytest.mark.parametrize("path", ["?page=0", "?page=99", "?page=x", "business/nobody", "category/nothing"])
def test_directory_has_no_other_pages(path: str) -> None:
    assert get(DIRECTORY_URL + path) is None


def test_directory_listing_has_full_pages() -> None:
    page = get(DIRECTORY_URL + "?page=2")
    assert isinstance(page, Page)
    assert len(LexborHTMLParser(page.body).css(".listing li")) == PAGE_SIZE


def test_forbidden_pages_are_linked_but_robots_txt_says_no() -> None:
    for business in TOWN.businesses:
        if business.has(Trait.ROBOTS):
            robots = get(site_url(business.label, "/robots.txt"))
            assert isinstance(robots, Page)
            assert b"Disallow: /internal/" in robots.body
            assert site_url(business.label, "/internal/night-desk") in crawl(business.url)


def test_poison_stands_where_the_truth_says() -> None:
    for poison in TOWN.poisons:
        if poison.reason in {"directory_operator", "web_agency", "robots_disallowed"}:
            page = get(poison.url)
            assert isinstance(page, Page)
            digits = re.sub(r"\D", "", page.body.decode())
            assert poison.phone[-7:] in digits
            assert poison.name in page.body.decode()


def test_contact_page_that_only_the_sitemap_knows() -> None:
    (business,) = [business for business in TOWN.businesses if business.has(Trait.SITEMAP_ONLY)]
    contact = site_url(business.label, WORDS[business.language].paths["contact"])
    sitemap = get(site_url(business.label, "/sitemap.xml"))
    assert isinstance(sitemap, Page)
    assert contact not in crawl(business.url)
    assert contact in sitemap.body.decode()


def test_calendar_has_no_end() -> None:
    (business,) = [business for business in TOWN.businesses if business.has(Trait.CALENDAR)]
    assert len(crawl(site_url(business.label, "/calendar/1"), limit=200)) == 200


def test_www_host_redirects_to_the_same_page_without() -> None:
    business = next(business for business in TOWN.businesses if business.has(Trait.WWW_REDIRECT))
    assert get(site_url(f"www.{business.label}", "/about")) == Redirect(site_url(business.label, "/about"))


def test_hanging_pages_hang() -> None:
    (business,) = [business for business in TOWN.businesses if business.has(Trait.HANGING_PAGE)]
    assert Hang() in crawl(business.url).values()


def test_site_urls_are_the_main_sites_in_order() -> None:
    assert site_urls() == [business.url for business in TOWN.businesses]
