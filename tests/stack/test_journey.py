"""The demo's journey through the proxy: a task over the sample town, watched in every way, to a downloaded file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from infra.sample_town import DIRECTORY_URL
from infra.sample_town.score import score
from infra.sample_town.words import CATEGORIES
from tests.faults.site import Sites
from tests.faults.viewers import over_socket, over_sse
from tests.stack.fleet import ContainerFleet
from tests.support import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

PICTURES = 5
JPEG = b"\xff\xd8"


async def test_the_demo_through_the_proxy(fleet: ContainerFleet, site: Sites, tmp_path: Path) -> None:
    queries = [f"{DIRECTORY_URL}category/{category}" for category in CATEGORIES]
    task = await fleet.submit(
        *queries, key="demo", platform="directory", enrich_websites=True, max_parallel=2, timeout_s=900,
        webhook_url="http://told.site.test/",
    )  # fmt: skip
    by_socket, by_sse = fleet.watch(task, transport=over_socket), fleet.watch(task, transport=over_sse)
    pictures, frames = await asyncio.gather(_mjpeg(fleet, task), _frames(fleet, task))
    assert pictures >= PICTURES
    assert frames >= PICTURES
    (state,) = await fleet.ended(task, limit_s=600)
    assert (state["status"], state["attempt"]) == ("completed", 1), state
    told, also_told = await asyncio.gather(by_socket, by_sse)
    assert [event["id"] for event in told] == [event["id"] for event in also_told]
    await wait_until(lambda: site.visits["told.site.test/"], 60, "the webhook, which leaves through the egress proxy")
    verdict = score(await _exported(fleet, task, tmp_path / "leads.csv"))
    assert len(verdict.found) >= 0.95 * verdict.expected
    assert (verdict.invented, verdict.forbidden) == ([], [])


async def _mjpeg(fleet: ContainerFleet, task: str) -> int:
    """How many pictures came as parts of one answer, of `PICTURES` that are waited for."""
    seen = 0
    async with (
        asyncio.timeout(120),
        fleet.session.get(f"{fleet.project.url}/live_feed/{task}", timeout=aiohttp.ClientTimeout()) as answer,
    ):
        assert answer.content_type == "multipart/x-mixed-replace"
        async for part in aiohttp.MultipartReader(answer.headers, answer.content):  # type: ignore[attr-defined]
            seen += (await part.read()).startswith(JPEG)
            if seen >= PICTURES:
                break
    return seen


async def _frames(fleet: ContainerFleet, task: str) -> int:
    """The same over a WebSocket."""
    seen = 0
    async with (
        asyncio.timeout(120),
        fleet.session.ws_connect(f"{fleet.project.url}/api/scraper/ws/frames/{task}", max_msg_size=0) as ws,
    ):
        async for message in ws:
            seen += message.type == aiohttp.WSMsgType.BINARY and message.data.startswith(JPEG)
            if seen >= PICTURES:
                break
    return seen


async def _exported(fleet: ContainerFleet, task: str, target: Path) -> Path:
    """The task's leads as CSV, from the URL that was signed for them."""
    made = await fleet.insist("GET", f"/api/export/csv?task_id={task}", Accept="application/json")

    async def ended() -> Any:
        export = await fleet.insist("GET", f"/api/export/{made['export_id']}", Accept="application/json")
        return export if export["status"] not in {"pending", "running"} else None

    export: Any = await wait_until(ended, 120, "the export to end")
    assert export["status"] == "ready", export
    assert str(export["url"]).startswith(f"{fleet.project.url}/"), "a name that every client knows"
    async with aiohttp.ClientSession() as plain, plain.get(export["url"]) as answer:
        assert answer.status == 200
        assert "sandbox" in answer.headers["Content-Security-Policy"], "no page of the console's origin"
        await asyncio.to_thread(target.write_bytes, await answer.read())
    return target
