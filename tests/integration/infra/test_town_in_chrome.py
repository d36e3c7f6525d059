"""The town in a real Chrome: what scripts, frames and banners hide is there for who waits and clicks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Page, async_playwright

from browser_node.chrome_binary import find_chrome
from browser_node.sandbox import probe
from infra.sample_town import TownServer, site_url
from infra.sample_town.businesses import build_town
from infra.sample_town.model import Business, ContactStyle, EmailStyle, Placement, Trait
from infra.sample_town.words import WORDS
from infra.sample_town.workshop_sites import CLOCK_PHONE_COLOUR
from infra.sample_town.writing import written_phone
from tests.support import wait_until

BUSINESSES = build_town().businesses


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A tab of a real Chrome for which every host of the town is the town's server."""
    chrome = find_chrome()
    assert chrome is not None, "these tests need a Chrome; `leadfleet doctor` says how to get one"
    async with TownServer() as town, async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chrome.path,
            chromium_sandbox=probe().works,
            args=[f"--host-resolver-rules=MAP *.town.test 127.0.0.1:{town.port}"],
        )
        try:
            yield await browser.new_page()
        finally:
            await browser.close()


def one_of_each_style() -> Iterator[Business]:
    """The first business of each contact style, and of each e-mail style that needs a script."""
    plain = [b for b in BUSINESSES if not b.has(Trait.BRANCHES) and not b.has(Trait.ALERT)]
    for style in ContactStyle:
        yield next(b for b in plain if b.contact_style is style)
    for email_style in (EmailStyle.CIPHERED_ATTRIBUTE, EmailStyle.JOINED_BY_SCRIPT):
        yield next(b for b in plain if b.email_style is email_style)


async def all_text(page: Page) -> str:
    """What a reader sees, frames included, with all blanks equal."""
    texts = [await frame.inner_text("body") for frame in page.frames]
    return " ".join("\n".join(texts).split())


async def test_contacts_can_be_read_in_every_style(page: Page) -> None:
    for business in one_of_each_style():
        words = WORDS[business.language]
        key = {Placement.HOME: "home", Placement.LEGAL: "legal", Placement.CONTACT: "contact"}[business.placement]
        await page.goto(site_url(business.label, words.paths[key]))
        phones = {written_phone(business.phones[0], style) for style in type(business.phone_format)}
        if business.contact_style is ContactStyle.BEHIND_COOKIE_BANNER:
            before = await all_text(page)
            assert not any(phone in before for phone in phones)
            await page.click("#accept")

        async def shown(phones: set[str] = phones) -> bool:
            text = await all_text(page)
            return any(phone in text for phone in phones)

        await wait_until(shown, description=f"the phone of {business.id} ({business.contact_style})")
        email = business.emails[0]
        if business.email_style is EmailStyle.AT_DOT:
            user, _, host = email.partition("@")
            email = " ".join((user + words.at + host.replace(".", words.dot)).split())
        assert email in await all_text(page), business.id


async def test_consent_once_given_is_kept_for_the_site(page: Page) -> None:
    business = next(b for b in BUSINESSES if b.contact_style is ContactStyle.BEHIND_COOKIE_BANNER)
    await page.goto(business.url)
    await page.click("#accept")
    await page.goto(site_url(business.label, WORDS[business.language].paths["about"]))
    assert await page.query_selector(".cookie-banner") is None


async def test_no_page_of_the_town_reaches_outside_or_fails_in_the_console(page: Page) -> None:
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda r: faults.append(r.url) if ".town.test/" not in r.url and "data:" not in r.url else None)
    for business in [*one_of_each_style(), *(b for b in BUSINESSES if b.has(Trait.NEWSLETTER_POPUP))]:
        await page.goto(business.url)
    for label in ("directory", "bench", "clock"):
        await page.goto(site_url(label))
    assert faults == []


async def test_the_clock_moves_and_its_phone_has_a_colour_of_its_own(page: Page) -> None:
    await page.goto(site_url("clock"))
    first = int(await page.inner_text("#ticks"))

    async def moved() -> bool:
        return int(await page.inner_text("#ticks")) > first

    await wait_until(moved, description="the clock ticks")
    colour = await page.evaluate("getComputedStyle(document.querySelector('.phone')).backgroundColor")
    assert colour == "rgb({}, {}, {})".format(*bytes.fromhex(CLOCK_PHONE_COLOUR.lstrip("#")))


async def test_the_alert_of_the_town_opens_a_dialog(page: Page) -> None:
    said: list[str] = []

    async def dismiss(dialog) -> None:
        said.append(dialog.message)
        await dialog.dismiss()

    page.on("dialog", dismiss)
    business = next(b for b in BUSINESSES if b.has(Trait.ALERT))
    await page.goto(business.url)
    await wait_until(lambda: said, description="the alert was shown")
    assert said == ["Welcome!"]
