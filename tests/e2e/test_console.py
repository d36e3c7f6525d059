"""The console in front of a whole stack: what a person does with it, from signing in to the file of leads."""

from __future__ import annotations

import csv
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect

from infra.sample_town import DIRECTORY_URL, site_url
from infra.sample_town.workshop_sites import CLOCK_LABEL, CLOCK_PHONE, CLOCK_PHONE_COLOUR
from tests.door import CODE, FIXED, FLOWING, PATCHES, Door
from tests.e2e.clock import assert_on_patch
from tests.e2e.console import Console
from tests.e2e.tab import PATIENCE_MS
from tests.stacks import Client, Gate
from tests.support import wait_until
from tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

CLOCK = site_url(CLOCK_LABEL)


async def test_who_has_no_session_is_asked_for_a_key_and_told_what_is_wrong_with_it(page: Page, client: Client) -> None:
    console = Console(page, client.stack.url)
    await page.goto(client.stack.url)
    await expect(page).to_have_url(f"{client.stack.url}/console")
    key = page.get_by_label("API key")
    await expect(key).to_be_focused()
    assert await console.violations() == []
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Enter an API key.")
    await key.fill("lfk_nobody")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("This key is not known, or it was revoked.")
    await key.fill(client.stack.api_key)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_focused()
    [cookie] = await page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    stored = await page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert client.stack.api_key not in stored

    await page.reload()
    await expect(page.get_by_role("heading", name="Tasks", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("API key")).to_be_focused()
    assert await page.context.cookies() == []


async def test_what_the_api_refuses_stands_at_the_field(console: Console) -> None:
    page = console.page
    await page.get_by_role("link", name="New task").click()
    await expect(page.get_by_role("heading", name="New task")).to_be_focused()
    addresses = page.get_by_label("Web addresses")
    await page.get_by_role("button", name="Start task").click()
    await expect(addresses).to_have_accessible_description(re.compile("Enter at least one address"))
    await page.get_by_text("More options").click()
    await addresses.fill(f"{CLOCK}\nhttp://localhost/")
    await page.get_by_label("Most leads").fill("0")
    await page.get_by_label("Webhook").fill("nonsense")
    console.expects_refusals(1)
    await page.get_by_role("button", name="Start task").click()
    most = page.get_by_label("Most leads")
    await expect(most).to_have_attribute("aria-invalid", "true")
    await expect(most).to_be_focused()
    assert await console.violations() == []
    await most.fill("")
    console.expects_refusals(1)
    await page.get_by_role("button", name="Start task").click()
    await expect(addresses).to_have_accessible_description(re.compile("Line 2: .*localhost"))
    await expect(page.get_by_label("Webhook")).to_have_attribute("aria-invalid", "true")


async def test_who_has_no_leads_yet_is_led_to_a_first_task(page: Page, client: Client) -> None:
    async with client.session.post(client.url("/api/auth/keys"), json={"tenant": "newcomer"}) as made:
        key = (await made.json())["key"]
    console = Console(page, client.stack.url)
    await console.sign_in(key)
    await console.go("Leads")
    await expect(page.get_by_text("No leads yet")).to_be_visible()
    await expect(page.get_by_role("group", name="City")).to_be_hidden()
    filters = page.get_by_role("complementary", name="Filters")
    await expect(filters.locator(".card:visible")).to_have_count(2)  # none that is empty
    await page.get_by_label("Has a phone").check()
    await expect(page.get_by_text("No lead matches")).to_be_visible()
    await expect(page.get_by_text("No leads yet")).to_be_hidden()
    await page.get_by_role("main").get_by_role("button", name="Clear filters").last.click()
    await page.get_by_role("link", name="Start a task").click()
    await expect(page.get_by_role("heading", name="New task")).to_be_visible()
    assert console.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_sound_on_a_phone(console: Console, scheme: Any) -> None:
    page = console.page
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.emulate_media(color_scheme=scheme)
    for place in ("Tasks", "Leads", "Exports", "Fleet", "Health"):
        await console.go(place)
        await expect(page.locator(".loading:visible")).to_have_count(0)
        assert await console.violations() == [], place
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= 360, place
    await console.go("Leads")
    await page.get_by_role("button", name="Filters", exact=True).press("Enter")
    await expect(page.get_by_role("complementary", name="Filters")).to_be_visible()
    await console.go("Tasks")
    await page.get_by_role("link", name="New task").click()
    assert await console.violations() == []
    assert await page.evaluate("() => document.documentElement.scrollWidth") <= 360


async def test_a_task_is_seen_live_with_a_box_right_on_its_phone(console: Console, client: Client) -> None:
    page = console.page
    task = await console.start(*[CLOCK] * 50)
    await expect(page.locator(".live")).to_have_attribute("data-live", "yes", timeout=PATIENCE_MS)
    first, layout = await console.probe("fingerprint"), await console.probe("layout")

    async def moved() -> bool:
        return bool(await console.probe("fingerprint") != first)

    await wait_until(moved, PATIENCE_MS / 1000, "the picture to move")
    for ratio in ("16 / 9", "4 / 3", "21 / 9"):
        await page.evaluate("(ratio) => { document.querySelector('.live-stage').style.aspectRatio = ratio; }", ratio)
        seen = await console.probe("boxAndPatch", [CLOCK_PHONE_COLOUR, CLOCK_PHONE, PATIENCE_MS])
        assert (max(seen["bars"]) > 5) == (ratio != "16 / 9"), (ratio, seen)
        assert_on_patch(seen)
    log = page.get_by_role("list", name="Log")
    await expect(log.get_by_text(f"Opened page {CLOCK}").first).to_be_visible(timeout=PATIENCE_MS)
    leads = page.get_by_role("list", name="Leads, newest first")
    await expect(leads.get_by_text("The town clock")).to_be_visible(timeout=PATIENCE_MS)
    await expect(leads.get_by_role("listitem")).to_have_count(1)  # found again and again, and one lead
    await page.evaluate("() => document.querySelector('.live-stage').style.removeProperty('aspect-ratio')")
    assert await console.probe("layout") == layout, "what streamed in has moved what was there"
    assert await console.violations() == []

    await page.get_by_role("button", name="Pause").click()
    await expect(console.state("paused")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text("Paused. It goes on where it was")).to_be_visible()
    await page.get_by_role("button", name="Resume").click()
    await expect(console.state("paused")).to_be_hidden(timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Stop").click()
    await page.get_by_role("dialog").get_by_role("button", name="Stop task").click()
    await expect(console.state("stopped")).to_be_visible(timeout=PATIENCE_MS)
    assert (await client.status(task))["status"] == "stopped"
    await expect(page.get_by_role("button", name="Stop")).to_be_hidden()


async def test_a_person_takes_the_wheel_types_and_gives_it_back(console: Console, client: Client, door: Door) -> None:
    page = console.page
    task = await console.start("http://stein.door.test/")
    await door.is_asked()
    take = console.take
    async with client.session.ws_connect(client.url(f"/api/scraper/ws/control/{task}")) as other:
        assert (await other.receive_json())["type"] == "connected"
        console.expects_losses()  # the browser logs a WebSocket that is refused
        await take.click()
        await expect(page.get_by_text("Somebody else has the wheel.")).to_be_visible(timeout=PATIENCE_MS)
    await wait_until(lambda: client.wheel_is_free(task), PATIENCE_MS / 1000, description="the wheel to be free")

    await take.press("Enter")
    await expect(console.at_the_wheel).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text(re.compile(r"^\d+:\d\d left$"))).to_be_visible()
    await expect(page.get_by_text("Somebody else has the wheel.")).to_be_hidden()
    door.open.set()
    await door.hears("shown")
    await expect(page.locator(".live")).to_have_attribute("data-live", "yes", timeout=PATIENCE_MS)
    assert await console.violations() == []
    await console.click_picture(0.8, 0.7)
    await door.hears("clicked")
    await page.keyboard.type(CODE[:2])
    await page.keyboard.insert_text(CODE[2:])
    await page.keyboard.press("Escape")
    await page.keyboard.press("Enter")
    await door.hears("solved")
    assert (await client.status(task))["status"] == "running", "the unit waits"
    await page.keyboard.press("Control+Shift+Enter")
    await expect(take.or_(console.state("completed"))).to_be_visible(timeout=PATIENCE_MS)
    await expect(console.state("completed")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_role("list", name="Leads, newest first").get_by_text("+49 30 31804711")).to_be_visible()
    await expect(page.get_by_role("list", name="Log").get_by_text("gave the wheel back").first).to_be_visible()
    await expect(take).to_be_hidden()


async def test_boxes_follow_a_page_that_is_scrolled(console: Console, door: Door) -> None:
    page = console.page
    door.close()
    await console.start("http://tall.door.test/")
    await door.is_asked()
    await console.take.click()
    await expect(console.at_the_wheel).to_be_visible(timeout=PATIENCE_MS)
    door.open.set()

    async def tops() -> list[float]:
        """Where the patches are, whose numbers are boxed right in this very moment."""
        seen = {phone: await console.probe("boxAndPatch", [PATCHES[phone], phone, PATIENCE_MS]) for phone in PATCHES}
        for phone, found in seen.items():
            (left, top, right, bottom), patch = found["box"], found["patch"]
            assert patch[0] < left < right < patch[2], (phone, found)
            assert patch[1] < top < bottom < patch[3], (phone, found)
        return [seen[phone]["patch"][1] / seen[phone]["scale"] for phone in (FIXED, FLOWING)]

    fixed, flowing = await tops()
    await console.point_at_picture(0.5, 0.5)
    for _ in range(6):
        await page.mouse.wheel(0, 50)
        assert (await tops())[0] == pytest.approx(fixed, abs=2)

    async def scrolled() -> bool:
        return bool((await tops())[1] == pytest.approx(flowing - 300, abs=3))

    await wait_until(scrolled, PATIENCE_MS / 1000, "the page to be 300 px further")
    await page.get_by_role("button", name="Give it back").click()
    await expect(console.state("completed")).to_be_visible(timeout=PATIENCE_MS)


async def test_who_may_not_steer_sees_no_wheel(page: Page, client: Client, door: Door) -> None:
    door.close()
    task = await client.start("http://seen.door.test/")
    scopes = {"name": "viewer", "scopes": ["tasks:read", "streams:read"]}
    async with client.session.post(client.url("/api/auth/keys"), json=scopes) as made:
        key = (await made.json())["key"]
    console = Console(page, client.stack.url)
    await console.sign_in(key)
    await console.open_task(task)
    await door.is_asked()
    await expect(console.state("running")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.locator(".live")).to_have_attribute("data-live", "yes", timeout=PATIENCE_MS)
    await expect(console.take).to_have_count(0)
    door.open.set()
    await client.ended(task)
    assert console.faults == []


@pytest.mark.parametrize("way", ["forbids", "swallows"])
async def test_where_websockets_are_blocked_a_task_is_followed_all_the_same(
    page: Page, client: Client, way: str
) -> None:
    port = urlsplit(client.stack.url).port
    assert port is not None
    async with TcpProxy(port) as proxy:
        setattr(proxy, way, b"Upgrade: websocket")
        console = Console(page, f"http://127.0.0.1:{proxy.port}")
        await console.sign_in(client.stack.api_key)
        console.expects_losses()
        task = await console.start(*[CLOCK] * 50)
        log = page.get_by_role("list", name="Log")
        await expect(log.get_by_text(f"Opened page {CLOCK}").first).to_be_visible(timeout=PATIENCE_MS)
        await expect(page.get_by_text(re.compile("something blocks WebSockets"))).to_be_visible(timeout=PATIENCE_MS)
        await expect(page.locator(".live")).to_have_attribute("data-live", "yes", timeout=PATIENCE_MS)
        await expect(console.take).to_be_hidden()
        first = await page.get_by_role("img", name="Live picture").screenshot()

        async def moved() -> bool:
            return await page.get_by_role("img", name="Live picture").screenshot() != first

        await wait_until(moved, PATIENCE_MS / 1000, "the picture to move")
        await client.post(f"/api/scraper/stop/{task}")
        await expect(console.state("stopped")).to_be_visible(timeout=PATIENCE_MS)
        told = [event["message"] for event in await client.events(task) if event["type"] == "log"]
        await expect(log.get_by_role("listitem")).to_have_count(len(told), timeout=PATIENCE_MS)
        assert console.faults == []


async def test_after_a_lost_connection_each_message_is_there_once(console: Console, client: Client, gate: Gate) -> None:
    page = console.page
    addresses = [f"http://site-{number}.gate.test/" for number in range(6)]
    task = await console.start(*addresses)
    log = page.get_by_role("list", name="Log")
    gate.let_in(2)
    await expect(log.get_by_text("Opened page")).to_have_count(2, timeout=PATIENCE_MS)
    console.expects_losses()
    client.stack.kill("control-plane-1")
    await expect(page.get_by_text(re.compile("Connection lost|Connecting"))).to_be_visible(timeout=PATIENCE_MS)
    gate.let_in(len(addresses))
    await client.ended(task)
    await expect(console.state("completed")).to_be_visible(timeout=PATIENCE_MS)
    told = [event["message"] for event in await client.events(task) if event["type"] == "log"]
    await expect(log.get_by_role("listitem")).to_have_count(len(told), timeout=PATIENCE_MS)
    assert [(await line.inner_text()).split("\n")[-1] for line in await log.get_by_role("listitem").all()] == told


async def test_leads_are_filtered_sorted_and_exported(console: Console, client: Client) -> None:
    page = console.page
    task = await console.start(DIRECTORY_URL, platform="directory")
    await client.ended(task)
    await expect(console.state("completed")).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("link", name=re.compile("All .* with filters")).click()
    rows = page.get_by_role("table").locator("tbody tr")
    total = (await _find(client, {"task_id": task}))["total"]
    assert total > 50
    await expect(page.get_by_role("status").get_by_text(f"{total} leads")).to_be_visible()
    await expect(rows).to_have_count(50)
    await page.get_by_role("button", name="Next").click()
    await expect(rows).to_have_count(total - 50)
    await page.get_by_role("button", name="Previous").click()
    await expect(rows).to_have_count(50)
    assert await console.violations() == []

    await page.get_by_role("button", name="Name", exact=True).click()
    by_name = await _find(client, {"task_id": task}, sort="name")
    await expect(rows.first).to_contain_text(by_name["items"][0]["display_name"])
    await expect(page.get_by_role("columnheader", name="Name")).to_have_attribute("aria-sort", "ascending")

    city = (await _facets(client, {"task_id": task}))["city"][0]
    await page.get_by_role("group", name="City").get_by_role("checkbox", name=re.compile(city["value"])).check()
    await expect(rows).to_have_count(city["count"])
    for row in await rows.all():
        await expect(row).to_contain_text(city["value"])

    await rows.first.get_by_role("button").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_text("Phones")).to_be_visible()
    assert await console.violations() == []
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()

    await page.get_by_role("button", name="Export").click()
    await expect(dialog.get_by_text(f"{city['count']} lead")).to_be_visible()
    assert await console.violations() == []
    await dialog.get_by_role("button", name="Begin export").click()
    async with page.expect_download() as download:
        await dialog.get_by_role("link", name="Download").click()
    file = await (await download.value).path()
    with file.open(encoding="utf-8", newline="") as text:
        exported = list(csv.DictReader(text))
    expected = await _find(client, {"task_id": task, "city": [city["value"]]})
    assert sorted(row["lead_id"] for row in exported) == sorted(lead["lead_id"] for lead in expected["items"])
    await page.keyboard.press("Escape")
    await console.go("Exports")
    await expect(page.get_by_role("table").get_by_text("ready").first).to_be_visible()
    assert await console.violations() == []


async def test_a_node_is_drained_after_a_question(console: Console, client: Client) -> None:
    page = console.page
    await console.go("Fleet")
    await expect(page.get_by_text("Slot 2")).to_be_visible()
    assert await console.violations() == []
    await page.get_by_role("button", name="Drain node-1").click()
    dialog = page.get_by_role("dialog", name="Drain node-1?")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(dialog).to_be_hidden()
    assert [node["state"] for node in (await client.get("/api/fleet/nodes"))["nodes"]] == ["up"]
    generation = (await client.get("/api/fleet/nodes"))["nodes"][0]["generation"]
    await page.get_by_role("button", name="Drain node-1").click()
    await dialog.get_by_role("button", name="Drain node").click()

    async def left() -> bool:
        [node] = (await client.get("/api/fleet/nodes"))["nodes"]
        return bool(node["state"] != "up" or node["generation"] > generation)

    await wait_until(left, PATIENCE_MS / 1000, "the node to drain")


async def _find(client: Client, where: dict[str, Any], sort: str = "-last_seen_at") -> Any:
    return await client.post("/api/filters/leads", {"where": where, "sort": sort, "limit": 500})


async def _facets(client: Client, where: dict[str, Any]) -> Any:
    return (await client.post("/api/filters/facets", {"where": where, "fields": ["city"]}))["facets"]
