"""The proxy as a process of its own: who may use it, what it tells, how it ends; and an agent that goes through it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from browser_node.scraping.errors import VisitFailed
from browser_node.scraping.fetch import fetch
from browser_node.settings import Settings
from browser_node.way_out import WayOut
from fleet.credentials import Holder, authorization, node_key
from fleet.refusals import Category
from tests.integration.browser_node.conftest import Site
from tests.integration.egress.process import SECRET, Process, say
from tests.support import REPOSITORY, wait_until

UNIT = Holder("n1", "tsk_01hv0000000000000000000000.3", 1234)
OTHER = Holder("n1", "tsk_01hv0000000000000000000000.4", 1235)


def proof(holder: Holder, secret: str = SECRET) -> str:
    return f"Proxy-Authorization: {authorization(node_key(secret, holder.node), holder)}\r\n"


def get(url: str, fields: str = "") -> bytes:
    return f"GET {url} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n".encode()


@pytest.fixture
async def process(site: Site) -> AsyncIterator[Process]:
    process = await Process.start(allow=site.allowance, secret=SECRET, unit_mb="1", unit_connections="3")
    yield process
    await process.stop()


async def hold(process: Process, holder: Holder) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An open tunnel to the site."""
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(f"CONNECT a.site.test:443 HTTP/1.1\r\n{proof(holder)}\r\n".encode())
    assert b" 200 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    return reader, writer


async def let_go(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


# Who may use it.


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ("", "no Proxy-Authorization was sent"),
        ("Proxy-Authorization: Basic eDp5\r\n", "the user is not node.unit.fence"),
        (proof(UNIT, "another secret than theirs"), "the password of node n1 is not of this proxy's secret"),
        (f"Proxy-Authorization: {authorization(node_key(SECRET, 'n2'), UNIT)}\r\n", "the password of node n1"),
    ],
)
async def test_who_proves_nothing_connects_nowhere(process: Process, site: Site, fields: str, reason: str) -> None:
    for request in (get("http://a.site.test/", fields), f"CONNECT a.site.test:443 HTTP/1.1\r\n{fields}\r\n".encode(),
                    f"GET /proof HTTP/1.1\r\n{fields}\r\n".encode()):  # fmt: skip
        answer = await say(process.port, request)
        assert answer.startswith(b"HTTP/1.1 407 Proxy Authentication Required\r\n")
        assert b"X-Leadfleet-Egress: unproven\r\n" in answer
        assert b'Proxy-Authenticate: Basic realm="egress"' in answer
    assert site.asked == []
    assert all(line["reason"].startswith(reason) for line in await process.logged("access", 3))


async def test_who_proves_it_is_told_so(process: Process) -> None:
    answer = await say(process.port, f"GET /proof HTTP/1.1\r\n{proof(UNIT)}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert UNIT.user.encode() in answer


async def test_who_proves_it_gets_through_and_the_proof_does_not_go_on(process: Process, site: Site) -> None:
    assert b" 200 " in await say(process.port, get("http://a.site.test/x", proof(UNIT)))
    assert site.asked == ["GET a.site.test/x"]
    assert "Proxy-Authorization" not in site.headers[0]


# What it tells.


async def test_each_connection_is_one_line_without_path_query_or_credentials(process: Process, site: Site) -> None:
    await say(process.port, get("http://a.site.test/private?token=opens-sesame", proof(UNIT)))
    await process.logged("access")  # a line is written at the end, which the client may see before
    await say(process.port, get("http://10.0.0.1/private?token=opens-sesame", proof(OTHER)))
    passed, refused = await process.logged("access", 2)
    seconds = passed.pop("seconds")
    assert 0 <= seconds < 10
    assert passed.pop("timestamp").endswith("Z")
    up, down = passed.pop("up"), passed.pop("down")
    assert up > 40 < down
    assert passed == {
        "event": "access", "level": "info", "node": "n1", "unit": UNIT.unit, "fence": 1234, "method": "GET",
        "host": "a.site.test", "port": 80, "address": "127.0.0.1", "verdict": "passed", "reason": "", "requests": 1,
    }  # fmt: skip
    assert (refused["verdict"], refused["reason"]) == ("refused", "refused non-public address 10.0.0.1")
    assert (refused["host"], refused["address"], refused["up"], refused["down"]) == ("10.0.0.1", "", 0, 0)
    written = str(process.lines) + str(process.other)
    assert not [word for word in ("private", "token", "sesame", "Basic", SECRET) if word in written]


async def test_health_says_ready_and_counts(process: Process, site: Site) -> None:
    await say(process.port, get("http://a.site.test/", proof(UNIT)))
    await say(process.port, get("http://10.0.0.1/", proof(UNIT)))
    await process.logged("access", 2)
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{process.port}/health") as answer:
        assert answer.status == 200
        state = await answer.json()
    assert (state["status"], state["connections"], state["not_passed"], state["units"]) == ("ready", 2, 1, 1)
    assert _health(process.port) == 0
    assert len([line for line in process.lines if line["event"] == "access"]) == 2, "health is no access"


def _health(port: int) -> int:
    environment = {**os.environ, "LEADFLEET_EGRESS_BIND": f"0.0.0.0:{port}", "LEADFLEET_EGRESS_SECRET": SECRET}
    return subprocess.run([sys.executable, "-m", "egress.health"], cwd=REPOSITORY, env=environment).returncode


# Caps.


async def test_past_its_connections_a_unit_is_refused_and_another_one_is_not(process: Process) -> None:
    held = [await hold(process, UNIT) for _ in range(3)]
    answer = await say(process.port, get("http://a.site.test/", proof(UNIT)))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"X-Leadfleet-Egress: cap\r\n" in answer
    (line,) = await process.logged("access")
    assert line["reason"] == "the unit has 3 connections open"
    assert b" 200 " in await say(process.port, get("http://a.site.test/", proof(OTHER)))
    for _, writer in held:
        await let_go(writer)
    await process.logged("access", 5)
    assert b" 200 " in await say(process.port, get("http://a.site.test/", proof(UNIT)))


async def test_past_its_bytes_a_unit_is_cut_and_then_refused(process: Process, site: Site) -> None:
    body = b"x" * 700_000
    post = f"POST http://a.site.test/ HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{proof(UNIT)}\r\n"
    assert b" 200 " in await say(process.port, post.encode() + body)
    await process.logged("access")
    with pytest.raises((ConnectionError, AssertionError)):
        assert b" 200 " in await say(process.port, post.encode() + body)
    await process.logged("access", 2)
    answer = await say(process.port, get("http://a.site.test/", proof(UNIT)))
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"X-Leadfleet-Egress: spent\r\n" in answer
    verdicts = [(line["verdict"], line["reason"]) for line in await process.logged("access", 3)]
    spent = "the unit has moved 1 MB"
    assert verdicts == [("passed", ""), ("cut", spent), ("refused", spent)]
    assert b" 200 " in await say(process.port, get("http://a.site.test/", proof(OTHER)))


async def test_a_connection_lives_for_so_long(site: Site) -> None:
    process = await Process.start(allow=site.allowance, secret=SECRET, connection_s="0.3")
    try:
        reader, writer = await hold(process, UNIT)
        assert await asyncio.wait_for(reader.read(), 60) == b""
        await let_go(writer)
        (line,) = await process.logged("access")
        assert (line["verdict"], line["reason"]) == ("cut", "a connection lives 0.3 s at most")
    finally:
        await process.stop()


async def test_a_node_has_so_many_connections_whatever_its_units_are_called(site: Site) -> None:
    process = await Process.start(allow=site.allowance, secret=SECRET, connections="2")
    try:
        held = [await hold(process, UNIT), await hold(process, OTHER)]
        answer = await say(process.port, get("http://a.site.test/", proof(Holder("n1"))))
        assert b"X-Leadfleet-Egress: cap\r\n" in answer
        (line,) = await process.logged("access")
        assert line["reason"] == "n1 has 2 connections open"
        assert b" 200 " in await say(process.port, get("http://a.site.test/", proof(Holder("n2"))))
        for _, writer in held:
            await let_go(writer)
    finally:
        await process.stop()


# How it ends.


async def test_at_sigterm_it_takes_nothing_more_and_lets_what_is_open_end(process: Process) -> None:
    reader, writer = await hold(process, UNIT)
    process.signal()
    await process.logged("draining")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(b"GET /late HTTP/1.1\r\nHost: a.site.test\r\nConnection: close\r\n\r\n")
    assert b"</h1>" in await asyncio.wait_for(reader.read(), 60)
    await let_go(writer)
    assert await process.ended() == 0


async def test_the_second_signal_ends_it_at_once(process: Process) -> None:
    reader, writer = await hold(process, UNIT)
    process.signal()
    await process.logged("draining")
    process.signal(signal.SIGINT)
    assert await asyncio.wait_for(reader.read(), 60) == b""
    await let_go(writer)
    assert await process.ended() == 0


async def test_the_first_process_of_a_container_ends_at_sigterm_too(site: Site) -> None:
    """The kernel drops signals to process 1 of a namespace that it does not handle itself."""
    process = await Process.start(["unshare", "--pid", "--fork", "--kill-child"], secret=SECRET)
    try:
        (child,) = await wait_until(lambda: _children(process._process.pid))
        os.kill(child, signal.SIGTERM)
        assert await process.ended() == 0
    finally:
        await process.stop()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_port_that_is_taken_and_a_setting_that_is_wrong_are_told(process: Process) -> None:
    taken = _run(LEADFLEET_EGRESS_BIND=f"127.0.0.1:{process.port}")
    assert taken.returncode == 1
    assert "cannot_listen" in taken.stdout
    wrong = _run(LEADFLEET_EGRESS_BIND="0.0.0.0:3128", LEADFLEET_EGRESS_SECRET="")
    assert wrong.returncode == 2
    assert "listens on loopback only" in wrong.stderr


def _run(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "egress"]
    return subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, timeout=20
    )


# An agent that goes through it.


@pytest.fixture
async def way_out(process: Process) -> AsyncIterator[WayOut]:
    way_out = WayOut(Settings(node_id="n1", slots=2, egress_proxy=f"127.0.0.1:{process.port}"))
    await way_out.start()
    assert await way_out.prove(node_key(SECRET, "n1"))
    yield way_out
    await way_out.stop()


async def test_an_agent_goes_through_it_as_the_unit_of_the_slot(process: Process, way_out: WayOut, site: Site) -> None:
    capped: list[str] = []
    way_out.slots[1].lend(UNIT.unit, UNIT.fence, capped.append)
    url, proxy_url = "http://a.site.test/unit", f"http://{way_out.slots[1].address}"
    async with aiohttp.ClientSession() as http:
        assert (await fetch(http, url, proxy_url=proxy_url, limit=1000)).status == 200
        way_out.slots[1].free()
        (line,) = await process.logged("access")
        assert (line["node"], line["unit"], line["fence"]) == ("n1", UNIT.unit, 1234)
        with pytest.raises(VisitFailed, match="no_way_out"):
            await fetch(http, url, proxy_url=proxy_url, limit=1000)
    assert site.asked == ["GET a.site.test/unit"]
    assert capped == []
    assert len([line for line in process.lines if line["event"] == "access"]) == 1, "it is not even asked"


async def test_what_it_refuses_the_agent_refuses_too(way_out: WayOut) -> None:
    """Names are looked up there alone."""
    listener = way_out.slots[0]
    listener.lend(UNIT.unit, UNIT.fence, lambda words: None)
    port = int(listener.address.rpartition(":")[2])
    for request in (get("http://127.0.0.1:8000/"), b"CONNECT localhost:8443 HTTP/1.1\r\n\r\n"):
        answer = await say(port, request)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"X-Leadfleet-Egress: forbidden\r\n" in answer
    assert listener.refusal("localhost") is Category.FORBIDDEN
    async with aiohttp.ClientSession() as http:
        with pytest.raises(VisitFailed) as failed:
            await fetch(http, "http://nowhere.invalid/", proxy_url=f"http://{listener.address}", limit=1000)
    assert failed.value.code == "dns"


async def test_a_cap_that_it_keeps_is_told_to_the_unit_once(way_out: WayOut, site: Site) -> None:
    capped: list[str] = []
    listener = way_out.slots[0]
    listener.lend(UNIT.unit, UNIT.fence, capped.append)
    async with aiohttp.ClientSession() as http:
        proxy_url, body = f"http://{listener.address}", b"x" * 700_000
        async with http.post("http://a.site.test/", data=body, proxy=proxy_url) as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientError):
            await http.post("http://a.site.test/", data=body, proxy=proxy_url)
        for _ in range(2):
            with pytest.raises(VisitFailed) as failed:
                await fetch(http, "http://a.site.test/", proxy_url=proxy_url, limit=1000)
            assert (failed.value.code, failed.value.retryable) == ("egress_cap", False)
    assert capped == ["the unit has moved as many bytes as it may"]
    assert listener.refusal("any.example") is Category.SPENT


@pytest.mark.parametrize("key", ["", node_key("the secret that was before", "n1")])
async def test_an_agent_that_is_not_known_notices_and_is_asked_for_no_password(way_out: WayOut, key: str) -> None:
    assert not await way_out.prove(key)
    lost = asyncio.create_task(way_out.lost())
    way_out.slots[0].lend(UNIT.unit, UNIT.fence, lambda words: None)
    answer = await say(int(way_out.slots[0].address.rpartition(":")[2]), get("http://a.site.test/"))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"X-Leadfleet-Egress: no_way_out\r\n" in answer
    assert b"Proxy-Authenticate" not in answer
    await asyncio.wait_for(lost, 60)
    assert await way_out.prove(node_key(SECRET, "n1"))


async def test_a_doubt_that_the_proxy_dispels_is_none(way_out: WayOut, process: Process) -> None:
    lost = asyncio.create_task(way_out.lost())
    process.signal(signal.SIGSTOP)
    way_out.slots[0].lend(UNIT.unit, UNIT.fence, lambda words: None)
    port = int(way_out.slots[0].address.rpartition(":")[2])
    assert b"no_way_out" in await say(port, get("http://a.site.test/")), "it did not answer in time"
    process.signal(signal.SIGCONT)
    assert b"HTTP/1.1 200 " in await say(port, get("http://a.site.test/"))
    done, _ = await asyncio.wait([lost], timeout=0)
    assert not done
    lost.cancel()


async def test_a_proxy_that_is_away_is_the_reason(process: Process, way_out: WayOut) -> None:
    await process.stop()
    way_out.slots[0].lend(UNIT.unit, UNIT.fence, lambda words: None)
    answer = await say(int(way_out.slots[0].address.rpartition(":")[2]), get("http://a.site.test/"))
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"X-Leadfleet-Egress: no_way_out\r\n" in answer
    await asyncio.wait_for(way_out.lost(), 60)
    proving = asyncio.create_task(way_out.prove(node_key(SECRET, "n1")))
    back = await Process.start(bind=f"127.0.0.1:{process.port}", secret=SECRET)
    try:
        assert await asyncio.wait_for(proving, 60), "it waits for a proxy that is away"
    finally:
        await back.stop()
