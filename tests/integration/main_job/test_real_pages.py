"""Thirty real business pages through the whole stack, scored against what people read on them.

Each page is the home page of a site of its own. A content security policy keeps Chrome from asking the pages' real
hosts for pictures and scripts: nothing leaves this machine.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import phonenumbers
import pytest
from aiohttp import web

from infra.stack.options import Options
from tests.stacks import Client, client_of
from tests.support import shared_data

PAGES_A_CORPUS = 15
POLICY = "default-src 'self' 'unsafe-inline' data:; form-action 'none'"


@dataclass(frozen=True)
class RealPage:
    """A page, the site it is served as, and the numbers that are annotated on it (E.164)."""

    host: str
    path: Path
    numbers: frozenset[str]


def real_pages() -> list[RealPage]:
    folder = shared_data() / "webstruct-dev"
    rows = [json.loads(line) for line in (folder / "gold.jsonl").read_text("utf-8").splitlines()]
    chosen: list[RealPage] = []
    for corpus in ("us_contact_pages", "business_pages"):
        for row in [row for row in rows if row["corpus"] == corpus][:PAGES_A_CORPUS]:
            home = urlsplit(row["base_url"] or "").hostname or "example.com"  # the country is read from the name
            numbers = {_e164(e["text"], home) for e in row["entities"] if e["type"] in {"TEL", "FAX"}} - {None}
            chosen.append(RealPage(f"p{len(chosen)}.{home}", folder / row["page"], frozenset(map(str, numbers))))
    return chosen


def _e164(text: str, host: str) -> str | None:
    region = {"au": "AU", "uk": "GB"}.get(host.rpartition(".")[2], "US")
    try:
        number = phonenumbers.parse(re.sub(r"(?i)\s*(ext|x)\.?\s*\d+\s*$", "", text), region)
    except phonenumbers.NumberParseException:
        return None
    valid = phonenumbers.is_valid_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if valid else None


@pytest.fixture
async def real_client(tmp_path: Path) -> AsyncIterator[tuple[Client, list[RealPage]]]:
    pages = real_pages()
    by_host = {page.host: page for page in pages}

    async def answer(request: web.Request) -> web.Response:
        page = by_host.get(request.host)
        if page is None or request.path != "/":
            return web.Response(status=404)
        headers = {"Content-Type": "text/html", "Content-Security-Policy": POLICY}
        return web.Response(body=page.path.read_bytes(), headers=headers)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    allowed = tuple(f"{page.host}=127.0.0.1:{port}" for page in pages)
    try:
        async with client_of(Options(state=tmp_path / "state", slots=2, egress_allow=allowed)) as client:
            yield client, pages
    finally:
        await runner.cleanup()


async def test_thirty_real_pages_give_the_numbers_people_read_on_them(
    real_client: tuple[Client, list[RealPage]],
) -> None:
    client, pages = real_client
    task = await client.start(*(f"http://{page.host}/" for page in pages), max_parallel=2)
    (state,) = await client.ended(task)
    assert (state["status"], state["units"]) == ("completed", {"completed": len(pages)}), state

    found: dict[str, set[str]] = {page.host: set() for page in pages}
    for event in await client.events(task):
        if event["type"] == "result":
            lead: dict[str, Any] = event["data"]
            numbers = {p["normalized_e164"] for p in lead["phones"] if p["validation_status"] == "valid"}
            found[urlsplit(lead["query"]).hostname or ""] |= numbers
    right = sum(len(found[page.host] & page.numbers) for page in pages)
    told, wanted = sum(map(len, found.values())), sum(len(page.numbers) for page in pages)
    print(f"numbers: {right} right of {told} told, {wanted} annotated")
    assert right >= 0.9 * wanted
    assert right >= 0.9 * told
