"""The TypeScript client as it is built, in a page of each browser."""

from __future__ import annotations

from typing import Any

import pytest

from infra.sample_town import site_url
from infra.sample_town.workshop_sites import CLOCK_LABEL, CLOCK_PHONE
from tests.browsers.conftest import CLIENT, Frontend
from tests.browsers.page import PATIENCE_S, Page
from tests.e2e.clock import assert_on_patch
from tests.e2e.pictures import patch
from tests.stacks import Client, Gate
from tests.support import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="package")]

PAGES = [f"http://site-{number}.gate.test/" for number in range(6)]

_BOX = "return shown.boxes.find(({ phone }) => phone === arguments[0])?.rect"


@pytest.mark.feature("TypeScript client: resumes after the control plane was killed")
@pytest.mark.parametrize("blocked", [False, True], ids=["websocket", "sse"])
async def test_a_subscription_resumes(
    page: Page, client: Client, frontend: Frontend, gate: Gate, blocked: bool
) -> None:
    task = await client.start(*PAGES)
    await _open(page, frontend)
    await page.run("subscribe(...arguments)", await _access(client, frontend, task), blocked)
    gate.let_in(2)
    opened = "return heard.filter(({ message }) => message?.startsWith('Opened page')).length === 2"
    await page.until(opened, description="two pages to be opened")
    transports = await page.run("return states.filter(({ name }) => name === 'open').map(({ transport }) => transport)")
    assert transports == ["sse" if blocked else "websocket"]
    client.stack.kill("control-plane-1")
    await page.until("return states.some(({ name }) => name === 'retrying')", description="the loss to be noticed")
    gate.let_in(len(PAGES) - 2)
    await client.ended(task)
    await page.until("return states.at(-1).name === 'closed'", description="the subscription to end")
    assert await page.run("return heard") == await client.events(task)


@pytest.mark.feature("TypeScript client: LiveView draws pictures, and boxes right on the phones")
async def test_a_live_view_boxes_a_phone(page: Page, client: Client, frontend: Frontend) -> None:
    task = await client.start(*[site_url(CLOCK_LABEL)] * 50)
    await _open(page, frontend)
    await page.run("look(arguments[0])", await _access(client, frontend, task))

    async def on_show() -> dict[str, Any] | None:
        picture = await page.picture("#live")
        box = await page.run(_BOX, CLOCK_PHONE)
        around = patch(picture)
        if box is None or around is None:
            return None
        ends = (box["x"] + box["width"], box["y"] + box["height"])
        return {"box": (box["x"], box["y"], *ends), "patch": around, "scale": picture.width / 1280}

    seen = await wait_until(on_show, PATIENCE_S, "the clock with its box")
    assert seen is not None
    assert_on_patch(seen)
    await client.post(f"/api/scraper/stop/{task}")


async def _open(page: Page, frontend: Frontend) -> None:
    assert (CLIENT / "index.js").is_file(), "the client is not built: `make e2e-browsers` does it"
    await page.open(frontend.origin)


async def _access(client: Client, frontend: Frontend, task: str) -> dict[str, Any]:
    return {"baseUrl": client.stack.url, "task": task, "token": await frontend.token(client, task)}
