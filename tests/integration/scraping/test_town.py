"""The sample town's directory and its roughest sites, against the town's own truth."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from browser_node.scraping.extractor import ProcessExtractor
from browser_node.scraping.politeness import HostPoliteness
from browser_node.scraping.robots import RobotsCache
from browser_node.scraping.types import Services
from fleet.model import Outcome
from infra.sample_town.server import TownServer
from infra.sample_town.truth import load_truth
from tests.integration.scraping.conftest import launch
from tests.integration.scraping.support import Bench, Site, loopback_http

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRUTH = load_truth()
FORBIDDEN = {poison["phone"] for poison in TRUTH["forbidden"]}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def town() -> AsyncIterator[Bench]:
    async with TownServer() as server, async_playwright() as playwright, ProcessExtractor() as extractor:
        browser = await launch(playwright, server.port)
        async with loopback_http(server.port) as http:
            yield Bench(
                browser,
                Services(extractor, HostPoliteness(is_ours=lambda _: True), RobotsCache(), http),
                Site(),
            )
        await browser.close()


async def test_the_directory_gives_one_lead_a_business_and_nothing_forbidden(town: Bench) -> None:
    result, out = await town.run("http://directory.town.test/", "directory")
    assert result.outcome is Outcome.COMPLETED
    assert out.pages >= len(TRUTH["businesses"])
    names = [lead.display_name for lead in out.results]
    known = {business["name"] for business in TRUTH["businesses"]}
    assert len(names) == len(set(names))
    assert set(names) <= known
    assert len(names) >= 0.8 * len(known)
    assert not out.numbers() & FORBIDDEN


@pytest.mark.parametrize(
    "trait",
    [
        "second_site",
        "www_redirect",
        "sitemap_only",
        "hanging_image",
        "huge_page",
        "newsletter_popup",
        "alert",
        "redirect_loop",
    ],
)
async def test_rough_sites_still_give_their_phone(town: Bench, trait: str) -> None:
    business = next(b for b in TRUTH["businesses"] if trait in b["traits"])
    result, out = await town.run(business["site_url"])
    assert result.outcome is Outcome.COMPLETED
    assert set(business["phones"]) <= out.numbers()
    assert not out.numbers() & FORBIDDEN


@pytest.mark.parametrize(
    "style",
    ["split_number", "script_after_delay", "script_fetch", "iframe", "behind_cookie_banner"],
)
async def test_numbers_that_need_a_browser_are_found_and_boxed(town: Bench, style: str) -> None:
    business = next(
        b for b in TRUTH["businesses"] if b["contact_style"] == style and b["address"]["country"] in {"DE", "GB", "US"}
    )
    _, out = await town.run(business["site_url"])
    assert set(business["phones"]) <= out.numbers()
    boxed = {phone.normalized_e164 for phone in out.phones() if phone.phone_coordinates is not None}
    assert set(business["phones"]) <= boxed
