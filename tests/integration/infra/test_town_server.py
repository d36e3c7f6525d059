"""The town as it is served: by host name, by path, over a real socket, and from its command line."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest

from infra.sample_town import TownServer
from infra.sample_town.businesses import build_town
from infra.sample_town.model import Trait, site_url
from infra.sample_town.rough_edges import HUGE_PAGE_BYTES
from infra.sample_town.truth import load_truth
from tests.support import REPOSITORY, wait_until

TOWN = build_town()


@pytest.fixture
async def town() -> AsyncIterator[TownServer]:
    async with TownServer() as server:
        yield server


@pytest.fixture
async def client(town: TownServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(town.url) as session:
        yield session


def host(label: str) -> dict[str, str]:
    return {"Host": f"{label}.town.test"}


async def test_the_host_header_chooses_the_site(client: aiohttp.ClientSession) -> None:
    for business in TOWN.businesses[:3]:
        async with client.get("/", headers=host(business.label)) as answer:
            assert answer.status == 200
            assert f"<h1>{business.name}</h1>" in await answer.text()


async def test_unknown_hosts_and_paths_are_not_found(client: aiohttp.ClientSession) -> None:
    for label, path in (("nobody", "/"), (TOWN.businesses[0].label, "/missing"), ("directory", "/?page=99")):
        async with client.get(path, headers=host(label)) as answer:
            assert answer.status == 404


async def test_a_person_reads_the_same_site_by_path(client: aiohttp.ClientSession) -> None:
    label = TOWN.businesses[0].label
    async with client.get("/") as index:
        assert f'href="/_site/{label}/"' in await index.text()
    async with client.get(f"/_site/{label}/") as home:
        assert f'href="/_site/{label}/about"' in await home.text()
    async with client.get(f"/_site/directory/business/{label}") as detail:
        assert f'href="/_site/{label}/"' in await detail.text()


async def test_redirects_lead_on_for_scrapers_and_for_people(client: aiohttp.ClientSession) -> None:
    business = next(business for business in TOWN.businesses if business.has(Trait.WWW_REDIRECT))
    async with client.get("/about", headers=host(f"www.{business.label}"), allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (301, site_url(business.label, "/about"))
    async with client.get(f"/_site/www.{business.label}/about", allow_redirects=False) as answer:
        assert answer.headers["Location"] == f"/_site/{business.label}/about"


async def test_a_redirect_loop_never_ends(client: aiohttp.ClientSession) -> None:
    business = next(business for business in TOWN.businesses if business.has(Trait.REDIRECT_LOOP))
    with pytest.raises(aiohttp.TooManyRedirects):
        await client.get(f"/_site/{business.label}/directions")


async def test_the_huge_page_is_as_huge_as_it_says(client: aiohttp.ClientSession) -> None:
    business = next(business for business in TOWN.businesses if business.has(Trait.HUGE_PAGE))
    received = 0
    async with client.get("/archive", headers=host(business.label)) as answer:
        async for chunk in answer.content.iter_any():
            received += len(chunk)
    assert received == HUGE_PAGE_BYTES


async def test_a_hanging_page_outlasts_its_client_and_does_not_hold_the_server() -> None:
    async with TownServer() as town, aiohttp.ClientSession(town.url) as session:
        asking = asyncio.create_task(session.get("/hang", headers=host("traps")))
        await wait_until(lambda: town.requests, description="the hanging page was asked for")
        assert not asking.done()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        leaving = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - leaving < 3


async def test_the_log_holds_what_was_asked_of_sites_and_nothing_else(
    town: TownServer, client: aiohttp.ClientSession
) -> None:
    for path in ("/?page=2", "/business/nobody"):
        async with client.get(path, headers={**host("directory"), "User-Agent": "tester"}):
            pass
    async with client.get("/_log") as answer:
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert [(line["label"], line["path"], line["user_agent"]) for line in lines] == [
        ("directory", "/?page=2", "tester"),
        ("directory", "/business/nobody", "tester"),
    ]
    assert len(town.requests) == 2


async def test_the_truth_is_served(client: aiohttp.ClientSession) -> None:
    async with client.get("/_truth") as answer:
        assert await answer.json() == load_truth()


async def test_the_command_line_serves_until_it_is_told_to_stop() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "infra.sample_town", "--port", "0", stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    try:
        assert process.stdout is not None
        ready = json.loads(await asyncio.wait_for(process.stdout.readline(), timeout=20))
        assert ready["url"] == f"http://127.0.0.1:{ready['port']}/"
        async with aiohttp.ClientSession() as session, session.get(ready["url"], headers=host("bench")) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), timeout=10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
