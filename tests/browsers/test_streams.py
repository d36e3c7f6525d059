"""The streams as a page uses them that has no library: an ``<img>``, a WebSocket, an EventSource, a plain link."""

from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from infra.sample_town import DIRECTORY_URL, site_url
from infra.sample_town.workshop_sites import CLOCK_LABEL
from tests.browsers.conftest import Frontend
from tests.browsers.page import PATIENCE_S, Page
from tests.e2e.pictures import differ, patch
from tests.stacks import Client, Gate
from tests.support import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="package")]

CLOCK = site_url(CLOCK_LABEL)
PAGES = [f"http://site-{number}.gate.test/" for number in range(6)]


@pytest.mark.feature("MJPEG in an `<img>` shows and moves")
@pytest.mark.parametrize("path", ["/live_feed", "/api/scraper/live_feed"])
async def test_an_img_shows_the_pictures_as_they_come(
    page: Page, client: Client, frontend: Frontend, path: str
) -> None:
    task = await client.start(*[CLOCK] * 50)
    await page.open(frontend.origin)
    await _show(page, f"{_same_site(client)}{path}/{task}?token={await _token(client, frontend, task)}")
    first = await wait_until(lambda: _clock(page), PATIENCE_S, "the clock in the picture")
    assert first is not None

    async def moved() -> bool:
        return differ(await page.picture("#picture"), first)

    await wait_until(moved, PATIENCE_S, "the picture to move")
    assert await page.run("return document.querySelector('#picture').naturalWidth") >= 640
    await client.post(f"/api/scraper/stop/{task}")


@pytest.mark.feature("MJPEG from another site, read by way of a canvas")
async def test_a_page_of_another_site_may_read_the_pictures(page: Page, client: Client, frontend: Frontend) -> None:
    task = await client.start(*[CLOCK] * 50)
    await page.open(frontend.origin)
    await page.run("document.querySelector('#picture').crossOrigin = 'anonymous'")
    assert urlsplit(client.stack.url).hostname != urlsplit(frontend.origin).hostname
    await _show(page, f"{client.stack.url}/live_feed/{task}?token={await _token(client, frontend, task)}")
    await wait_until(lambda: _clock(page), PATIENCE_S, "the clock in the picture")
    first = await page.run("return fingerprint()")
    await page.until("return fingerprint() !== arguments[0]", first, description="the picture to move")
    await client.post(f"/api/scraper/stop/{task}")


@pytest.mark.feature("Snapshot in an `<img>`")
async def test_an_img_shows_a_snapshot(page: Page, client: Client, frontend: Frontend) -> None:
    task = await client.start(*[CLOCK] * 50)
    snapshot = f"{_same_site(client)}/api/scraper/snapshot/{task}.jpg?token={await _token(client, frontend, task)}"
    await page.open(frontend.origin)

    await page.run("poll(arguments[0])", snapshot)
    await wait_until(lambda: _clock(page), PATIENCE_S, "the clock in a snapshot")
    await client.post(f"/api/scraper/stop/{task}")


@pytest.mark.feature("WebSocket events arrive")
async def test_a_web_socket_hears_all_events(page: Page, client: Client, frontend: Frontend, gate: Gate) -> None:
    task = await client.start(*PAGES)
    await _listen(page, client, frontend, task, "socket")
    await _hears_the_rest(page, client, gate, task, len(PAGES))


@pytest.mark.feature("SSE events arrive")
async def test_an_event_source_hears_all_events(page: Page, client: Client, frontend: Frontend, gate: Gate) -> None:
    task = await client.start(*PAGES)
    await _listen(page, client, frontend, task, "source")
    await _hears_the_rest(page, client, gate, task, len(PAGES))


@pytest.mark.feature("WebSocket resumes after the control plane was killed: nothing lost, nothing twice")
async def test_a_web_socket_resumes(page: Page, client: Client, frontend: Frontend, gate: Gate) -> None:
    task = await client.start(*PAGES)
    await _listen(page, client, frontend, task, "socket")
    await _loses_the_control_plane(page, client, gate)
    await _hears_the_rest(page, client, gate, task, len(PAGES) - 2)


@pytest.mark.feature("SSE resumes after the control plane was killed: nothing lost, nothing twice")
async def test_an_event_source_resumes(
    page: Page, client: Client, frontend: Frontend, gate: Gate, record_property: Callable[[str, object], None]
) -> None:
    task = await client.start(*PAGES)
    await _listen(page, client, frontend, task, "source")
    await _loses_the_control_plane(page, client, gate)
    await _hears_the_rest(page, client, gate, task, len(PAGES) - 2)
    if await page.run("return renewed"):
        record_property("how", "with a new EventSource: the browser closes one for good whose server is away")


@pytest.mark.feature("Export by a plain link: the presigned file on disk")
async def test_a_link_downloads_the_export(page: Page, client: Client, frontend: Frontend) -> None:
    task = await client.start(DIRECTORY_URL, platform="directory")
    await client.ended(task)
    await page.open(frontend.origin)
    export = f"{_same_site(client)}/api/export/csv?task_id={task}&token={await _token(client, frontend, task)}"
    link = (
        "document.body.append(Object.assign(document.createElement('a'), {href: arguments[0], textContent: 'Leads'}))"
    )
    await page.run(link, export)
    await page.press("Leads")
    file = await page.downloaded()
    found = await client.post("/api/filters/leads", {"where": {"task_id": task}, "limit": 500})
    with file.open(encoding="utf-8", newline="") as text:
        exported = [row["lead_id"] for row in csv.DictReader(text)]
    assert len(exported) > 50
    assert sorted(exported) == sorted(lead["lead_id"] for lead in found["items"])
    assert await page.run("return location.origin") == frontend.origin, "the page was left for the file"


def _same_site(client: Client) -> str:
    """The API at ``localhost``, where the page is as well."""
    return client.stack.url.replace("127.0.0.1", "localhost")


async def _show(page: Page, url: str) -> None:
    await page.run("show(arguments[0])", url)


async def _clock(page: Page) -> Image.Image | None:
    """The picture as it is on the screen, once it shows the clock."""
    picture = await page.picture("#picture")
    return picture if patch(picture) else None


async def _token(client: Client, frontend: Frontend, task: str) -> str:
    token: str = (await frontend.token(client, task))["token"]
    return token


async def _listen(page: Page, client: Client, frontend: Frontend, task: str, how: str) -> None:
    """Follow a task's events from the first."""
    token = await _token(client, frontend, task)
    path = f"/api/scraper/{'ws/' if how == 'socket' else ''}events/{task}?token={token}"
    api = client.stack.url.replace("http", "ws") if how == "socket" else client.stack.url
    await page.open(frontend.origin)
    await page.run(f"{how}(arguments[0])", f"{api}{path}")
    await page.until("return heard.length", description="a first event")


async def _loses_the_control_plane(page: Page, client: Client, gate: Gate) -> None:
    """Some pages are read; then the control plane dies, which the page notices. It comes back by itself."""
    gate.let_in(2)
    opened = "return heard.filter(({ message }) => message?.startsWith('Opened page')).length === 2"
    await page.until(opened, description="two pages to be opened")
    client.stack.kill("control-plane-1")
    await page.until("return lost", description="the loss to be noticed")


async def _hears_the_rest(page: Page, client: Client, gate: Gate, task: str, visitors: int) -> None:
    """Let the rest of the task happen. What the page heard is exactly what the stream holds."""
    gate.let_in(visitors)
    await client.ended(task)
    told = await client.events(task)
    await page.until("return heard.length >= arguments[0]", len(told), description=f"{len(told)} events")
    heard: list[dict[str, Any]] = await page.run("return heard")
    assert heard == told
