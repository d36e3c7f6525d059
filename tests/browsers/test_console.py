"""The console's main path: what a person does with it first, in each browser."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from PIL import Image
from selenium.webdriver.common.keys import Keys

from infra.sample_town import DIRECTORY_URL, site_url
from infra.sample_town.workshop_sites import CLOCK_LABEL, CLOCK_PHONE, CLOCK_PHONE_COLOUR
from tests.browsers.page import PATIENCE_S, Page
from tests.door import CODE, FIELD_COLOUR, Door
from tests.e2e.clock import assert_on_patch
from tests.e2e.console import PROBES
from tests.e2e.pictures import differ, patch
from tests.stacks import Client, Gate
from tests.support import wait_until
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="package")]

CLOCK = site_url(CLOCK_LABEL)

PLACES = ("Tasks", "Leads", "Exports", "Fleet", "Health")

NARROW = 500
"""Pixels: the narrowest window that all three browsers make."""

_WATCH = """
window.faults = [];
addEventListener("error", (event) => faults.push(event.message));
addEventListener("unhandledrejection", (event) => faults.push(`${event.reason}`));
addEventListener("securitypolicyviolation", (event) => faults.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest_asyncio.fixture(loop_scope="package")
async def console(page: Page, client: Client) -> AsyncIterator[Page]:
    """The console, signed in. A test fails when the page had an error or broke its own policy."""
    await _sign_in(page, client.stack.url, client.stack.api_key)
    yield page
    assert await page.run("return faults") == []


@pytest.mark.feature("Console: sign in, and stay so after a reload")
async def test_a_key_is_a_session_that_outlives_a_reload(page: Page, client: Client) -> None:
    await page.open(client.stack.url)
    await page.press("Sign in")
    await page.sees("Enter an API key.", "[role=alert]")
    await page.fill("API key", client.stack.api_key)
    await page.press("Sign in")
    await page.sees("Tasks", "h1")
    [cookie] = page.driver.get_cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    await page.reload()
    await page.sees("Tasks", "h1")
    await page.press("Sign out")
    await page.sees("Sign in to Leadfleet", "h1")
    assert page.driver.get_cookies() == []


@pytest.mark.feature("Console: every view fits a narrow window")
async def test_every_view_fits_a_narrow_window(console: Page) -> None:
    console.driver.set_window_size(NARROW, 900)
    await console.until("return innerWidth <= arguments[0]", NARROW, description="a narrow window")
    for place in PLACES:
        await _go(console, place)
        loaded = "return [...document.querySelectorAll('.loading')].every((each) => !each.checkVisibility())"
        await console.until(loaded, description=f"{place} to be loaded")
        assert await console.run("return document.documentElement.scrollWidth - innerWidth") <= 0, place


@pytest.mark.feature("Console: start a task, see it live with boxes right on the phones, its log and leads")
async def test_a_task_is_seen_live(console: Page, client: Client) -> None:
    task = await _start(console, *[CLOCK] * 50)
    live = "return document.querySelector('.live')?.dataset.live === 'yes'"
    await console.until(live, description="a live picture")
    first = await console.run(f"return ({PROBES}).fingerprint()")
    await console.until(f"return ({PROBES}).fingerprint() !== arguments[0]", first, description="it to move")
    wanted = [CLOCK_PHONE_COLOUR, CLOCK_PHONE, PATIENCE_S * 1000]
    for ratio in ("16 / 9", "21 / 9"):
        await console.run("document.querySelector('.live-stage').style.aspectRatio = arguments[0]", ratio)
        assert_on_patch(await console.settled(f"({PROBES}).boxAndPatch(arguments[0])", wanted))
    await console.sees(f"Opened page {CLOCK}", ".log")
    await console.sees("The town clock", ".found")
    await console.press("Stop", ".head")
    await console.press("Stop task", "dialog")
    await console.sees("stopped", ".task-line .badge")
    assert (await client.status(task))["status"] == "stopped"


@pytest.mark.feature("Console: take the wheel, click, type and paste on the live page, and give it back with the keys")
async def test_a_person_takes_the_wheel(console: Page, client: Client, door: Door) -> None:
    await console.press("New task", "main")
    await console.fill("Web addresses", CODE[:2])
    for key in "ac":
        await console.chord(Keys.CONTROL, key)
    await console.type(Keys.BACKSPACE)
    await console.until("return document.querySelector('textarea').value === ''", description="an empty field")
    await _go(console, "Tasks")
    task = await _take_the_wheel(console, door, "http://stein.door.test/")
    await console.click_at(".live-boxes", 0.8, 0.7)
    await door.hears("clicked")

    async def field_is_seen() -> bool:
        return patch(await console.picture(".live-stage"), FIELD_COLOUR) is not None

    await wait_until(field_is_seen, PATIENCE_S, "the field that the button brings up to be in the picture")
    await console.chord(Keys.CONTROL, "v")
    await door.hears("pasted")
    await console.type(CODE[2:])
    await console.chord(Keys.SHIFT, Keys.TAB)
    await console.type(Keys.TAB, Keys.ENTER)
    await door.hears("solved")
    assert (await client.status(task))["status"] == "running", "the unit waits"
    await console.chord(Keys.CONTROL, Keys.SHIFT, Keys.ENTER)
    await console.sees("completed", ".task-line .badge")
    await console.sees("+49 30 31804711", ".found")
    await console.sees("gave the wheel back", ".log")


@pytest.mark.feature("Console: the mouse wheel scrolls the live page, and a button gives the wheel back")
async def test_the_mouse_wheel_scrolls_the_live_page(console: Page, door: Door) -> None:
    await _take_the_wheel(console, door, "http://wheel.door.test/")
    await console.turn_wheel_at(".live-boxes", 0.5, 0.5, 120)
    await door.hears("wheel-120")
    await console.press("Give it back", ".live")
    await console.sees("completed", ".task-line .badge")


@pytest.mark.feature("Console: where WebSockets are blocked, events come over SSE and the picture as MJPEG")
async def test_where_websockets_are_blocked_a_task_is_followed_all_the_same(page: Page, client: Client) -> None:
    port = urlsplit(client.stack.url).port
    assert port is not None
    async with TcpProxy(port, forbids=b"Upgrade: websocket") as proxy:
        await _sign_in(page, f"http://127.0.0.1:{proxy.port}", client.stack.api_key)
        task = await _start(page, *[CLOCK] * 50)
        await page.sees(f"Opened page {CLOCK}", ".log")
        await page.sees("something blocks WebSockets", ".live")
        first = await wait_until(lambda: _clock(page), PATIENCE_S, "the clock in the picture")
        assert first is not None

        async def moved() -> bool:
            return differ(await page.picture("img.live-canvas"), first)

        await wait_until(moved, PATIENCE_S, "the picture to move")
        await client.post(f"/api/scraper/stop/{task}")
        await page.sees("stopped", ".task-line .badge")
        told = [event["message"] for event in await client.events(task) if event["type"] == "log"]

        async def all_told() -> bool:
            return await page.texts(".log li span") == told

        await wait_until(all_told, PATIENCE_S, "each line of the log, once")
        assert await page.run("return faults") == []


@pytest.mark.feature("Console: after the control plane was killed each message is there once")
async def test_after_a_lost_connection_each_message_is_there_once(console: Page, client: Client, gate: Gate) -> None:
    addresses = [f"http://site-{number}.gate.test/" for number in range(6)]
    task = await _start(console, *addresses)
    gate.let_in(2)

    async def lines() -> list[str]:
        return await console.texts(".log li span")

    async def two_opened() -> bool:
        return sum(line.startswith("Opened page") for line in await lines()) == 2

    await wait_until(two_opened, PATIENCE_S, "two pages to be opened")
    client.stack.kill("control-plane-1")
    await console.until(
        "return /Connection lost|Connecting/.test(document.querySelector('.task-line').innerText)",
        description="the loss to be noticed",
    )
    gate.let_in(len(addresses))
    await client.ended(task)
    await console.sees("completed", ".task-line .badge")
    told = [event["message"] for event in await client.events(task) if event["type"] == "log"]

    async def all_told() -> bool:
        return len(await lines()) >= len(told)

    await wait_until(all_told, PATIENCE_S, "the rest of the log")
    assert await lines() == told


@pytest.mark.feature("Console: results with filters, and the export's file on disk")
async def test_leads_are_filtered_and_exported(console: Page, client: Client) -> None:
    task = await _start(console, DIRECTORY_URL, platform="directory")
    await client.ended(task)
    await console.sees("completed", ".task-line .badge")
    await console.press("All…")
    everything = await _find(client, {"task_id": task})
    assert everything["total"] > 50
    await console.sees(f"{everything['total']} leads", "[role=status]")
    await console.until(_rows(50), description="a page of leads")
    asked = {"where": {"task_id": task}, "fields": ["city"]}
    city = (await client.post("/api/filters/facets", asked))["facets"]["city"][0]
    await console.press(f"{city['value']}…", "fieldset")
    await console.until(_rows(city["count"]), description=f"the leads of {city['value']}")
    assert all(city["value"] in row for row in await console.texts("tbody tr"))
    await console.press("Export", "main")
    await console.press("Begin export", "dialog")
    await console.press("Download", "dialog")
    with (await console.downloaded()).open(encoding="utf-8", newline="") as text:
        exported = [row["lead_id"] for row in csv.DictReader(text)]
    expected = await _find(client, {"task_id": task, "city": [city["value"]]})
    assert sorted(exported) == sorted(lead["lead_id"] for lead in expected["items"])
    await console.press("Close", "dialog")
    await _go(console, "Exports")
    await console.sees("ready", "table .badge")


async def _sign_in(page: Page, url: str, key: str) -> None:
    await page.open(url)
    await page.run(_WATCH)
    await page.fill("API key", key)
    await page.press("Sign in")
    await page.sees("Tasks", "h1")


async def _take_the_wheel(console: Page, door: Door, address: str) -> str:
    """Start a task at the door, and return its id once its page is on show and the wheel is ours."""
    task = await _start(console, address)
    await door.is_asked()
    await console.press("Take the wheel", ".live")
    await console.sees("You have the wheel", ".live [role=status]")
    door.open.set()
    await door.hears("shown")
    live = "return document.querySelector('.live')?.dataset.live === 'yes'"
    await console.until(live, description="a live picture")
    return task


async def _clock(page: Page) -> Image.Image | None:
    """The fallback's picture as it is on the screen, once it shows the clock."""
    picture = await page.picture("img.live-canvas")
    return picture if patch(picture) else None


async def _go(console: Page, place: str) -> None:
    await console.press(place, "nav")
    await console.sees(place, "h1")


async def _start(console: Page, *addresses: str, platform: str = "website") -> str:
    """Start a task with the form, and return its id once its view is open."""
    await console.press("New task", "main")
    await console.fill("Web addresses", "\n".join(addresses))
    await console.until("return document.querySelector('[name=platforms]')", description="the platforms")
    wanted = "return [...document.querySelectorAll('[name=platforms]')].map((each) => [each.value, each.checked])"
    for name, checked in await console.run(wanted):
        if checked != (name == platform):
            await console.press(f"{name.capitalize()}…", ".choices")
    await console.press("Start task", "form")
    found = "return location.hash.match(/^#\\/tasks\\/(tsk_.*)/)?.[1]"
    task: str = await console.until(found, description="the task's view")
    return task


def _rows(count: int) -> str:
    return f"return document.querySelectorAll('tbody tr').length === {json.dumps(count)}"


async def _find(client: Client, where: dict[str, Any]) -> Any:
    return await client.post("/api/filters/leads", {"where": where, "limit": 500})
