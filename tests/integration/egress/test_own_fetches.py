"""robots.txt, sitemaps, webhooks and the look at mail domains, with the same vectors: they go where a page may, or not.

What an operator sets (the model's endpoint, object storage, Valkey) is reached wherever it is.
"""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import pytest

from browser_node.scraping.errors import VisitFailed
from browser_node.scraping.fetch import MAX_REDIRECTS, fetch
from browser_node.scraping.robots import RobotsCache
from fleet.credentials import Holder, authorization, node_key
from tests.integration.egress.process import SECRET
from tests.integration.egress.vectors import ALL, MAY_REACH_THE_SITE, Vector
from tests.integration.egress.world import PROXY, PROXY_PORT, SITE, Answer, World, ok, proxy_in
from tests.support import REPOSITORY

EACH = 3
"""Vectors of a kind."""


def _sample() -> list[Vector]:
    """A few of every kind, of those that can stand in a URL."""
    kinds = defaultdict(list)
    for vector in ALL:
        stands_in_a_url = vector.authority.isprintable() and " " not in vector.authority
        if stands_in_a_url and vector.kind not in MAY_REACH_THE_SITE:
            kinds[vector.kind].append(vector)
    return [vector for found in kinds.values() for vector in found[:: max(1, len(found) // EACH)][:EACH]]


SAMPLE = _sample()

TARGETS = (
    "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://127.0.0.1:6379/", "http://[::1]/",
    "http://2130706433/", "http://0x7f.1/", "http://[::ffff:169.254.169.254]/", "http://localhost/", "//10.0.0.1/",
    "http://site.example@10.0.0.1/", f"http://{SITE}:25/", "https://10.0.0.1/", "http://metadata.google.internal/",
    "file:///etc/passwd", "ftp://10.0.0.1/", "gopher://10.0.0.1:6379/_PING", "data:text/plain,x", "http://１０.0.0.1/",
)  # fmt: skip

CODES = ("301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect")


@pytest.fixture(scope="module")
def proxied(trap: World) -> Iterator[World]:
    with proxy_in(trap):
        yield trap


@pytest.fixture
async def http(proxied: World) -> AsyncIterator[aiohttp.ClientSession]:
    """The agent's session, its sockets in the proxy's namespace."""

    def make(info: Any) -> socket.socket:
        made = proxied.inside.run(lambda: socket.socket(*info[:3]))
        made.setblocking(False)
        return made

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(socket_factory=make)) as session:
        yield session


def proxy_url() -> str:
    login = aiohttp.BasicAuth.decode(authorization(node_key(SECRET, "n1"), Holder("n1")))
    return f"http://{login.login}:{login.password}@{PROXY}:{PROXY_PORT}"


async def test_robots_and_sitemaps_are_not_fetched_from_where_no_page_is(
    proxied: World, http: aiohttp.ClientSession
) -> None:
    assert len(SAMPLE) >= 90
    for vector in SAMPLE:
        url = f"http://{vector.authority}/sitemap.xml"
        with pytest.raises(VisitFailed):
            await fetch(http, url, proxy_url=proxy_url(), limit=1000)
        try:
            rules = await RobotsCache().rules(http, url, proxy_url())
        except (VisitFailed, ValueError):
            pass  # aiohttp itself makes no request of it
        else:
            assert rules.refusal(url) is not None or vector.kind.startswith(("malformed", "percent", "zones")), vector
        assert proxied.arrivals() == [], vector


@pytest.mark.parametrize("code", CODES)
async def test_a_redirect_of_any_code_leads_nowhere_else(
    proxied: World, http: aiohttp.ClientSession, code: str
) -> None:
    for target in TARGETS:
        proxied.pages["/robots.txt"] = proxied.pages["/hop"] = ok(b"", f"Location: {target}\r\n", code)
        for url in ("http://site.example/robots.txt", "http://site.example/hop"):
            proxied.visits.clear()
            with pytest.raises(VisitFailed):
                await fetch(http, url, proxy_url=proxy_url(), limit=1000)
            assert len(proxied.visits) == 1, target
            assert proxied.arrivals() == [], target


async def test_a_chain_of_redirects_is_checked_at_each_step(proxied: World, http: aiohttp.ClientSession) -> None:
    for step, host in enumerate(("other.example", "site.example", "10.0.0.1")):
        proxied.pages[f"/{step}"] = ok(b"", f"Location: http://{host}/{step + 1}\r\n", "302 Found")
    with pytest.raises(VisitFailed) as failed:
        await fetch(http, "http://site.example/0", proxy_url=proxy_url(), limit=1000)
    assert failed.value.code == "refused_address"
    proxied.pages["/round"] = ok(b"", "Location: /round\r\n", "302 Found")
    proxied.visits.clear()
    with pytest.raises(VisitFailed, match="redirect_loop"):
        await fetch(http, "http://site.example/round", proxy_url=proxy_url(), limit=1000)
    assert len(proxied.visits) == MAX_REDIRECTS
    assert proxied.arrivals() == []


async def test_a_redirect_to_a_public_site_is_followed(proxied: World, http: aiohttp.ClientSession) -> None:
    proxied.pages["/moved"] = ok(b"", "Location: http://other.example/here\r\n", "301 Moved Permanently")
    answer = await fetch(http, "http://site.example/moved", proxy_url=proxy_url(), limit=1000)
    assert (answer.status, answer.body) == (200, b"arrived")
    assert proxied.arrivals() == []


# What the control plane sends, and what a node asks about, without the proxy.


def _with_mail(before: Answer) -> Answer:
    return lambda kind, count: ["MX 0 mail.inward.example."] if kind == "MX" else before(kind, count)


@pytest.fixture(scope="module")
def told(trap: World) -> dict[str, list[str]]:
    """Of `fetches`, run inside."""
    urls = [f"http://{vector.authority}/hook" for vector in SAMPLE]
    redirects = []
    for number, (code, target) in enumerate(itertools.product(CODES, TARGETS)):
        trap.pages[f"/w{number}"] = ok(b"", f"Location: {target}\r\n", code)
        redirects.append(f"http://site.example/w{number}")
    domains = [vector.host for vector in ALL if vector.kind == "names, A" and vector.host.endswith(".example")]
    for domain in domains:
        trap.names[domain] = _with_mail(trap.names[domain])
    trap.names["mail.inward.example"] = lambda kind, before: ["A 10.0.0.1"] if kind == "A" else []
    asked = {
        "webhooks": [*urls, "http://site.example/hook", *redirects],
        "unseen": [*urls, "http://site.example/hook"],
        "mail": [f"office@{domain}" for domain in domains],
    }
    trap.arrivals()
    trap.visits.clear()
    done = subprocess.run(
        [*trap.inside.exec, sys.executable, "-m", "tests.integration.egress.fetches"],
        input=json.dumps(asked), capture_output=True, text=True, cwd=REPOSITORY, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome: dict[str, list[str]] = json.loads(done.stdout)
    return outcome | {"arrivals": [str(packet) for packet in trap.arrivals()], "visits": list(trap.visits)}


def test_no_webhook_and_no_question_about_mail_arrives_where_it_may_not(told: dict[str, list[str]]) -> None:
    assert told["arrivals"] == []


@pytest.mark.parametrize("which", ["webhooks", "unseen"])
def test_a_webhook_goes_to_public_addresses_alone(told: dict[str, list[str]], which: str) -> None:
    """Also one whose URL was let pass: what counts is the address that is connected to."""
    outcomes = told[which][: len(SAMPLE)]
    assert [o for o in outcomes if not o.startswith("Unreached(")] == []
    assert told[which][len(SAMPLE)] == "Answered(status=200)"


def test_a_webhooks_redirect_is_not_followed(told: dict[str, list[str]]) -> None:
    redirects = told["webhooks"][len(SAMPLE) + 1 :]
    assert redirects == [f"Answered(status={code[:3]})" for code in CODES for _ in TARGETS]
    assert {visit.split(" ")[1] for visit in told["visits"]} == {"site.example"}


def test_domains_that_take_mail_are_kept_and_nobody_was_spoken_to(told: dict[str, list[str]]) -> None:
    assert len(told["mail"]) == len([v for v in ALL if v.kind == "names, A" and v.host.endswith(".example")])
