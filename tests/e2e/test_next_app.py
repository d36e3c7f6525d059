"""The Next app in front of a whole stack: the journey of whoever builds a frontend on `@leadfleet/client`."""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Page, expect
from yarl import URL

from infra.sample_town import DIRECTORY_URL, site_url
from infra.sample_town.workshop_sites import CLOCK_LABEL
from tests.door import CODE, FIELD_COLOUR, Door
from tests.e2e.next_app import NextApp, NextServer
from tests.e2e.pictures import patch
from tests.e2e.tab import PATIENCE_MS
from tests.stacks import Client, Gate, gated_site
from tests.support import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

CUT_S = 10
"""How long the network is gone, at least."""

SITES = [f"http://site-{number}.gate.test/" for number in range(6)]


def shop(host: str) -> str:
    """The page of a site behind the gate: a business with a phone of its own."""
    number = int(re.sub(r"\D", "", host))
    name, phone = f"Shop {number}", f"(202) 555-010{number}"
    return f"<title>{name}</title><h1>{name}</h1><p>Call <a href='tel:+1202555010{number}'>{phone}</a></p>"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate() -> AsyncIterator[Gate]:
    async with gated_site(shop) as gate:
        yield gate


async def test_the_key_stays_with_the_server(page: Page, client: Client, app_server: NextServer) -> None:
    app = NextApp(page, app_server.url, client.stack.url)
    answer = await page.goto(f"{app.url}/tasks/tsk_nobody")
    assert answer is not None
    assert "script-src 'nonce-" in answer.headers["content-security-policy"]
    await expect(page).to_have_url(f"{app.url}/sign-in")
    key = page.get_by_label("API key")
    assert await app.violations() == []
    await key.fill("lfk_nobody")
    await key.press("Enter")
    await expect(page.get_by_text("This key is not known, or it was revoked.")).to_be_visible()
    await app.sign_in(client.stack.api_key)
    [cookie] = await page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Lax")
    stored = await page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert client.stack.api_key not in stored + await page.content()
    assert await app.violations() == []

    await page.reload()
    await expect(page.get_by_role("heading", name="Find leads")).to_be_visible()
    await page.get_by_role("button", name="Sign out").press("Enter")
    await expect(key).to_be_visible()
    assert await page.context.cookies() == []
    assert app.faults == []


async def test_pages_reach_what_they_need_and_nothing_else(app: NextApp, client: Client) -> None:
    asked = app.page.context.request

    async def status(method: str, path: str, **headers: str) -> int:
        return (await asked.fetch(f"{app.url}/leadfleet/{path}", method=method, headers=headers)).status

    assert await status("GET", "api/tasks") == 200
    assert await status("POST", "api/auth/keys", origin=app.url) == 404
    [cookie] = await app.page.context.cookies()
    upward = URL(f"{app.url}/leadfleet/api/tasks/%2e%2e/fleet/nodes", encoded=True)
    async with client.session.get(upward, headers={"Cookie": f"{cookie['name']}={cookie['value']}"}) as answer:
        assert answer.status == 404
    assert await status("POST", "api/auth/stream-token") == 403
    assert await status("POST", "api/auth/stream-token", origin="http://127.0.0.1:1") == 403
    assert await status("POST", "api/auth/stream-token", origin=app.url) == 200
    await app.page.context.clear_cookies()
    assert await status("GET", "api/tasks") == 401


async def test_what_the_api_refuses_stands_at_the_field(app: NextApp, client: Client) -> None:
    page = app.page
    queries = page.get_by_label("Web addresses")
    app.expects_refusals(2)
    await page.get_by_role("button", name="Start").click()
    await expect(queries).to_have_accessible_description(re.compile("at least 1"))
    await queries.fill(f"{site_url(CLOCK_LABEL)}\nhttp://localhost/")
    await page.get_by_role("button", name="Start").click()
    await expect(queries).to_have_accessible_description(re.compile("Line 2: .*localhost"))
    await expect(queries).to_have_attribute("aria-invalid", "true")
    assert await app.violations() == []


async def test_a_task_is_steered_with_keys_alone(app: NextApp, client: Client) -> None:
    page, keys = app.page, app.page.keyboard
    await page.get_by_label("Web addresses").focus()
    await keys.insert_text("\n".join([site_url(CLOCK_LABEL)] * 50))
    await keys.press("Tab")
    await keys.type("website")
    await keys.press("Tab")
    await keys.press("Tab")
    await expect(page.get_by_role("button", name="Start")).to_be_focused()
    await keys.press("Enter")
    await page.wait_for_url("**/tasks/tsk_*")
    task = page.url.rpartition("/")[2]
    await expect(page.get_by_text("Opened page").first).to_be_visible()
    await expect(page.get_by_role("rowheader", name="The town clock")).to_be_visible()
    first = await app.picture()

    async def moved() -> bool:
        return await app.picture() != first

    await wait_until(moved, timeout=PATIENCE_MS / 1000, description="the picture to move")
    assert await app.violations() == []
    await page.get_by_role("button", name="Pause").press("Enter")
    await expect(app.state("paused")).to_be_visible()
    await expect(page.get_by_text("Paused: it goes on where it was")).to_be_visible()
    await page.get_by_role("button", name="Resume").press("Enter")
    await expect(app.state("paused")).to_be_hidden()
    await page.get_by_role("button", name="Stop", exact=True).press("Enter")
    dialog = page.get_by_role("dialog", name="Stop this task?")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    assert await app.violations() == []
    await keys.press("Enter")
    await expect(dialog).to_be_hidden()
    assert (await client.status(task))["status"] in {"queued", "running"}
    await page.get_by_role("button", name="Stop", exact=True).press("Enter")
    await keys.press("Tab")
    await keys.press("Enter")
    await app.ended("stopped")
    await expect(app.connection).to_have_text("Ended")
    await expect(page.get_by_role("button", name="Stop", exact=True)).to_be_hidden()
    assert (await client.status(task))["status"] == "stopped"


async def test_a_person_takes_the_wheel_clicks_on_the_live_page_and_gives_it_back(
    app: NextApp, client: Client, door: Door
) -> None:
    page = app.page
    door.close()
    task = await app.start("http://stein.door.test/")
    await door.is_asked()
    async with client.session.ws_connect(client.url(f"/api/scraper/ws/control/{task}")) as other:
        assert (await other.receive_json())["type"] == "connected"
        app.expects_losses()  # the browser logs a WebSocket that is refused
        await app.take.press("Enter")
        await expect(app.wheel).to_have_text("Somebody else has the wheel. Try again when they have left.")
    await wait_until(lambda: client.wheel_is_free(task), PATIENCE_MS / 1000, "the wheel to be free")

    await app.take.press("Enter")
    await expect(app.wheel).to_contain_text("You have the wheel")
    await expect(page.get_by_text(re.compile(r"^\d+:\d\d left$"))).to_be_visible()
    assert await app.violations() == []
    door.open.set()
    await door.hears("shown")
    assert patch(await _picture(app), FIELD_COLOUR) is None
    await app.click_picture(0.8, 0.7)
    await door.hears("clicked")

    async def field_is_seen() -> bool:
        return patch(await _picture(app), FIELD_COLOUR) is not None

    await wait_until(field_is_seen, PATIENCE_MS / 1000, "the field that the button brings up to be in the picture")
    await page.keyboard.type(CODE[:-1])
    await page.keyboard.insert_text(CODE[-1])
    await page.keyboard.press("Enter")
    await door.hears("solved")
    assert (await client.status(task))["status"] == "running", "the unit waits"
    await page.get_by_role("button", name="Give it back").click()
    await app.ended()
    await expect(app.leads.get_by_text("+49 30 31804711")).to_be_visible()
    await expect(app.log.get_by_text("gave the wheel back").first).to_be_visible()
    await expect(app.take).to_be_hidden()


async def test_the_file_of_a_task_is_downloaded(app: NextApp, client: Client) -> None:
    page = app.page
    task = await app.start(DIRECTORY_URL, platform="directory")
    await client.ended(task)
    await app.ended()
    query = {"where": {"task_id": [task]}, "limit": 500}
    found = await client.post("/api/filters/leads", query)
    assert found["total"] > 50
    await expect(page.get_by_role("status").get_by_text(f"{found['total']} leads", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Prepare file").press("Enter")
    async with page.expect_download() as download:
        await page.get_by_role("link", name=f"Download {found['total']} leads (CSV)").press("Enter")
    file = await (await download.value).path()
    with file.open(encoding="utf-8", newline="") as text:
        exported = [row["lead_id"] for row in csv.DictReader(text)]
    assert sorted(exported) == sorted(lead["lead_id"] for lead in found["items"])
    assert await app.violations() == []
    await page.get_by_role("link", name="← Tasks").press("Enter")
    await expect(page.get_by_role("link", name=DIRECTORY_URL).first).to_be_visible()


async def test_a_reload_loses_nothing_and_shows_nothing_twice(app: NextApp, client: Client, gate: Gate) -> None:
    task = await app.start(*SITES)
    gate.let_in(2)
    await expect(app.leads).to_have_count(2)
    before = await app.messages()
    assert before
    await app.page.reload()
    await expect(app.leads).to_have_count(2)
    assert (await app.messages())[: len(before)] == before
    gate.let_in(len(SITES) - 2)
    await _assert_all_is_told(app, client, task)


async def test_a_cut_network_comes_back_with_all_that_was_missed(app: NextApp, client: Client, gate: Gate) -> None:
    task = await app.start(*SITES)
    gate.let_in(2)
    await expect(app.leads).to_have_count(2)
    app.expects_losses()
    cut = asyncio.create_task(asyncio.sleep(CUT_S))
    await app.page.context.set_offline(True)
    gate.let_in(2)

    async def went_on() -> bool:
        return bool((await client.status(task))["total_results"] == 4)

    await wait_until(went_on, timeout=PATIENCE_MS / 1000, description="the task to go on while nobody sees it")
    await expect(app.connection).to_have_text("Connection lost, retrying…")
    await cut
    await expect(app.connection).to_have_text("Connection lost, retrying…")
    assert await app.leads.count() == 2
    await app.page.context.set_offline(False)
    await expect(app.connection).to_have_text("Live")
    await expect(app.leads).to_have_count(4)
    gate.let_in(len(SITES) - 4)
    await _assert_all_is_told(app, client, task)


async def test_a_killed_control_plane_is_come_back_to(app: NextApp, client: Client, gate: Gate) -> None:
    task = await app.start(*SITES)
    gate.let_in(2)
    await expect(app.leads).to_have_count(2)
    app.expects_losses()
    client.stack.kill("control-plane-1")
    await expect(app.connection).to_have_text("Connection lost, retrying…")
    gate.let_in(len(SITES) - 2)
    await _assert_all_is_told(app, client, task)


async def _picture(app: NextApp) -> Image.Image:
    return Image.open(io.BytesIO(await app.picture())).convert("RGB")


async def _assert_all_is_told(app: NextApp, client: Client, task: str) -> None:
    """The page shows each event of the task that the store has, once and in order."""
    await client.ended(task)
    await app.ended()
    events = await client.events(task)
    told = [event["message"] for event in events if event["type"] == "log"]
    await expect(app.log).to_have_count(len(told))
    assert await app.messages() == told
    leads = {event["data"]["lead_id"]: event["data"]["display_name"] for event in events if event["type"] == "result"}
    assert len(leads) == len(SITES)
    await expect(app.leads).to_have_count(len(leads))
    assert await app.names() == list(leads.values())
