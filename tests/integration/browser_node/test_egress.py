"""The egress proxy on real sockets: what it reaches, what it refuses, and how a connection ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from browser_node.egress import EgressLimits, EgressProxy
from fleet.addresses import Allowance
from tests.integration.browser_node.conftest import Site


@pytest.fixture
async def proxy(site: Site) -> AsyncIterator[tuple[EgressProxy, int]]:
    proxy = EgressProxy(Allowance.parse(site.allowance))
    address = await proxy.start()
    yield proxy, int(address.rpartition(":")[2])
    await proxy.stop()


async def say(port: int, request: bytes) -> bytes:
    """Send and read until the proxy closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    return answer


async def get(port: int, url: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    status = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    writer.close()
    await writer.wait_closed()
    return status


NOT_PUBLIC = [
    "127.0.0.1:{site}",
    "localhost:{site}",
    "[::1]:{site}",
    "0.0.0.0:{site}",
    "[::ffff:127.0.0.1]:{site}",
    "127.1:{site}",
    "2130706433:{site}",
    "169.254.169.254:80",
    "10.0.0.1:443",
    "192.168.1.1:8080",
    "[fd00:ec2::254]:80",
    "[64:ff9b::a9fe:a9fe]:80",
    "[2002:a9fe:a9fe::]:80",
    "168.63.129.16:80",
    "100.100.100.200:80",
]


@pytest.mark.parametrize("target", NOT_PUBLIC)
async def test_what_is_not_public_is_refused_with_the_reason(
    proxy: tuple[EgressProxy, int], site: Site, target: str
) -> None:
    authority = target.format(site=site.port)
    answer = await get(proxy[1], f"http://{authority}/")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"X-Leadfleet-Egress: refused non-public address" in answer
    tunnel = await say(proxy[1], f"CONNECT {authority} HTTP/1.1\r\n\r\n".encode())
    assert tunnel.startswith(b"HTTP/1.1 403 ")
    assert site.asked == []


async def test_a_name_that_resolves_to_loopback_is_refused_whatever_it_said_before(
    proxy: tuple[EgressProxy, int], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rebinding: the check is on the address that is connected to, not on an earlier answer for the name."""
    loop = asyncio.get_running_loop()

    async def rebound(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", rebound)
    answer = await get(proxy[1], f"http://rebind.example:{site.port}/")
    assert b"refused non-public address 127.0.0.1" in answer
    assert proxy[0].refusal("rebind.example") == "refused non-public address 127.0.0.1"


@pytest.mark.parametrize("port", [22, 25, 110, 143, 445, 993])
async def test_ports_that_are_no_web_are_refused(proxy: tuple[EgressProxy, int], port: int) -> None:
    assert b"refused port" in await say(proxy[1], f"CONNECT 1.1.1.1:{port} HTTP/1.1\r\n\r\n".encode())


async def test_an_unknown_name_and_a_closed_port_are_the_sites_fault(proxy: tuple[EgressProxy, int]) -> None:
    assert b" 502 " in await get(proxy[1], "http://nowhere.invalid/")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        allowed = EgressProxy(Allowance.parse(f"closed.test=127.0.0.1:{closed.getsockname()[1]}"))
        port = int((await allowed.start()).rpartition(":")[2])
        assert b" 502 " in await get(port, "http://closed.test/")
        await allowed.stop()


async def test_one_connection_carries_requests_to_several_origins(proxy: tuple[EgressProxy, int], site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])
    for host, path in (("a.site.test", "1"), ("a.site.test", "2"), ("b.site.test", "3")):
        writer.write(f"GET http://{host}/{path} HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"</h1>"), 10)
        assert answer.startswith(b"HTTP/1.1 200 ")
    writer.close()
    await writer.wait_closed()
    assert site.asked == ["GET a.site.test/1", "GET a.site.test/2", "GET b.site.test/3"]


async def test_bodies_arrive_whole_chunked_or_not(proxy: tuple[EgressProxy, int], site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])
    writer.write(b"POST http://a.site.test/1 HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
    await asyncio.wait_for(reader.readuntil(b"</h1>"), 10)
    writer.write(
        b"POST http://a.site.test/2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n"
    )
    await asyncio.wait_for(reader.readuntil(b"</h1>"), 10)
    writer.close()
    await writer.wait_closed()
    assert site.bodies == [b"x" * 200_000, b"hello!"]


async def test_a_tunnel_passes_bytes_both_ways(proxy: tuple[EgressProxy, int], site: Site) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy[1])
    writer.write(b"CONNECT a.site.test:443 HTTP/1.1\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"GET /through HTTP/1.1\r\nHost: a.site.test\r\n\r\n")
    await asyncio.wait_for(reader.readuntil(b"</h1>"), 10)
    writer.close()
    await writer.wait_closed()
    assert site.asked == ["GET a.site.test/through"]


async def test_a_connection_is_cut_at_its_byte_limit_and_when_it_is_silent(site: Site) -> None:
    limits = EgressLimits(connection_bytes=100, idle=timedelta(seconds=0.2))
    proxy = EgressProxy(Allowance.parse(site.allowance), limits)
    port = int((await proxy.start()).rpartition(":")[2])
    answer = await say(port, b"GET http://a.site.test/ HTTP/1.1\r\n\r\n")
    assert b"</h1>" in answer  # one read is not cut in the middle; the connection is closed behind it
    assert await say(port, b"") == b""
    await proxy.stop()


async def test_past_the_limit_of_connections_it_says_so(site: Site) -> None:
    proxy = EgressProxy(Allowance.parse(site.allowance), EgressLimits(connections=1))
    port = int((await proxy.start()).rpartition(":")[2])
    _, held = await asyncio.open_connection("127.0.0.1", port)
    assert b" 503 " in await say(port, b"")
    held.close()
    await held.wait_closed()
    await proxy.stop()
