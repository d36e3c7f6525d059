"""Where a POST goes and where it does not, and what receivers can do to it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from control_plane.webhooks import post
from control_plane.webhooks.post import Post, Target
from control_plane.webhooks.verdict import Answered, Unreached
from fleet import destinations
from fleet.addresses import Allowance
from fleet.destinations import Resolve
from tests.certificates import own_certificate
from tests.integration.control_plane.webhooks.conftest import OpenReceiver, Receiver

OpenPost = Callable[..., Post]


@pytest.fixture
async def open_post() -> AsyncIterator[OpenPost]:
    opened = []

    def make(allowance: str = "", resolve: Resolve | None = None) -> Post:
        opened.append(Post(Allowance.parse(allowance), resolve))
        return opened[-1]

    yield make
    for each in opened:
        await each.aclose()


def answers(*turns: list[str]) -> tuple[Resolve, list[str]]:
    """A name server with one answer a question, and the names it was asked for."""
    asked: list[str] = []

    async def resolve(host: str) -> list[str]:
        asked.append(host)
        return turns[len(asked) - 1]

    return resolve, asked


# Where it goes.


@pytest.mark.parametrize(
    "found",
    [["127.0.0.1"], ["::1"], ["10.1.2.3"], ["169.254.169.254"], ["64:ff9b::a9fe:a9fe", "127.0.0.1"]],
)
async def test_a_name_without_a_public_address_is_refused(
    open_post: OpenPost, receiver: Receiver, found: list[str]
) -> None:
    resolve, asked = answers(found)
    outcome = await open_post(resolve=resolve).send(f"http://inward.example.com:{receiver.port}/", {}, b"{}")
    assert outcome == Unreached("inward.example.com leads to an address that is not on the public Internet")
    assert asked == ["inward.example.com"]
    assert receiver.asked == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost", "0.0.0.0"]
)
async def test_a_literal_is_checked_like_a_name(open_post: OpenPost, receiver: Receiver, host: str) -> None:
    outcome = await open_post().send(f"http://{host}:{receiver.port}/", {}, b"{}")
    assert isinstance(outcome, Unreached)
    assert "public Internet" in outcome.reason
    assert receiver.asked == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
async def test_what_admission_would_have_let_pass_is_refused_by_its_address(
    open_post: OpenPost, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Asks the machine's own resolver. The text is not looked at: the address alone decides."""
    monkeypatch.setattr(post, "refuse_webhook", lambda url, allowance: None)
    outcome = await open_post().send(f"http://{host}:{receiver.port}/", {}, b"{}")
    assert isinstance(outcome, Unreached)
    assert outcome.reason.endswith("leads to an address that is not on the public Internet")
    assert receiver.asked == []


async def test_a_name_that_is_not_known_is_told(open_post: OpenPost) -> None:
    async def unknown(host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    for resolve in (unknown, answers([])[0]):
        outcome = await open_post(resolve=resolve).send("https://nowhere.example.com/", {}, b"{}")
        assert outcome == Unreached("the name nowhere.example.com is not known")


async def test_the_address_that_was_looked_at_is_the_one_that_is_connected_to(
    open_post: OpenPost, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that turns to another address after the look-up; loopback stands for the Internet here."""
    monkeypatch.setattr(destinations, "is_public", lambda address: address.startswith("127."))
    monkeypatch.setattr(destinations, "is_this_machine", lambda address: False)
    resolve, asked = answers(["127.0.0.2", "127.0.0.1"])  # nobody listens on the first
    sent = await open_post(resolve=resolve).send(f"http://Hook.Example.com:{receiver.port}/a?b=c#d", {}, b"{}")
    assert sent == Answered(204)
    assert asked == ["hook.example.com"]
    (got,) = receiver.asked
    assert (got.headers["Host"], got.path) == (f"hook.example.com:{receiver.port}", "/a?b=c")


async def test_an_allowance_opens_the_target_it_names(open_post: OpenPost, receiver: Receiver) -> None:
    sender = open_post(f"{receiver.allowance},127.0.0.9:80=127.0.0.1:{receiver.port}")
    assert await sender.send("http://hook.test/", {}, b"{}") == Answered(204)
    assert await sender.send("http://127.0.0.9/", {}, b"{}") == Answered(204)
    assert [asked.headers["Host"] for asked in receiver.asked] == ["hook.test", "127.0.0.9"]
    assert isinstance(await sender.send("http://other.test/", {}, b"{}"), Unreached)


@pytest.mark.parametrize(
    ("url", "host", "authority", "pinned"),
    [
        ("http://Example.com", "example.com", "example.com", "http://[2001:db8::1]:80/"),
        ("https://münchen.de:8443/a", "xn--mnchen-3ya.de", "xn--mnchen-3ya.de:8443", "https://[2001:db8::1]:8443/a"),
        ("https://[2606:4700::1]/?a=b", "2606:4700::1", "[2606:4700::1]", "https://[2001:db8::1]:443/?a=b"),
    ],
)
def test_targets(url: str, host: str, authority: str, pinned: str) -> None:
    target = Target.of(url)
    assert (target.host, target.authority, target.at("2001:db8::1", target.port)) == (host, authority, pinned)


async def test_a_host_that_cannot_be_looked_up_is_an_outcome_too(open_post: OpenPost) -> None:
    outcome = await open_post().send(f"http://{'ü' * 64}.de/", {}, b"{}")
    assert isinstance(outcome, Unreached)
    assert "neither a name nor an address" in outcome.reason


# What receivers do.


async def test_redirects_are_not_followed(open_post: OpenPost, open_receiver: OpenReceiver) -> None:
    inner = await open_receiver("inner.test")

    async def redirect(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": inner.url})

    outer = await open_receiver(custom=redirect)
    assert await open_post(f"{outer.allowance},{inner.allowance}").send(outer.url, {}, b"{}") == Answered(307)
    assert inner.asked == []


async def test_an_answer_without_end_is_cut_off(open_post: OpenPost, open_receiver: OpenReceiver) -> None:
    cut = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        finally:
            cut.set()

    receiver = await open_receiver(custom=endless)
    assert await open_post(receiver.allowance).send(receiver.url, {}, b"{}") == Answered(200)
    await asyncio.wait_for(cut.wait(), 10)


async def test_a_receiver_that_does_not_answer_is_given_up(
    open_post: OpenPost, open_receiver: OpenReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "TIMEOUT", timedelta(seconds=0.2))
    receiver = await open_receiver(held=asyncio.Event())
    assert await open_post(receiver.allowance).send(receiver.url, {}, b"{}") == Unreached(
        "hook.test did not answer within 0.2 s"
    )

    async def never(host: str) -> list[str]:
        await asyncio.Event().wait()
        return []

    assert await open_post(resolve=never).send("http://stalls.example.com/", {}, b"{}") == Unreached(
        "stalls.example.com did not answer within 0.2 s"
    )


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "hook.test ended the exchange without an answer (ServerDisconnectedError)"),
        (b"SSH-2.0-server\r\n\r\n", "hook.test ended the exchange without an answer (ClientResponseError)"),
        (
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
            "hook.test ended the exchange without an answer (ClientResponseError)",
        ),
    ],
)
async def test_what_is_no_answer_is_told_without_the_url(open_post: OpenPost, said: bytes, reason: str) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        outcome = await open_post(f"hook.test=127.0.0.1:{port}").send("http://hook.test/?key=opens-sesame", {}, b"{}")
    assert outcome == Unreached(reason)


async def test_a_closed_port_is_told(open_post: OpenPost) -> None:
    outcome = await open_post("hook.test=127.0.0.1:1").send("http://hook.test/?key=opens-sesame", {}, b"{}")
    assert outcome == Unreached("hook.test takes no connection")


# TLS.


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[tuple[str, list[str], x509.Certificate]]:
    """``(allowance, names asked for, certificate)`` of a server that is hook.test and calls itself so."""
    certificate, pem = own_certificate("hook.test")
    (tmp_path / "hook.pem").write_bytes(pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "hook.pem")
    names: list[str] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    receiver = Receiver("hook.test")
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    yield f"*.test=127.0.0.1:{port}", names, certificate
    await runner.cleanup()


async def test_the_certificate_must_be_the_receivers_own(
    open_post: OpenPost, tls: tuple[str, list[str], x509.Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowance, names, certificate = tls
    refused = Unreached("the certificate of hook.test does not verify")
    assert await open_post(allowance).send("https://hook.test/", {}, b"{}") == refused

    trusting = ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.PEM).decode())
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)
    assert await open_post(allowance).send("https://hook.test/", {}, b"{}") == Answered(204)
    other = await open_post(allowance).send("https://other.test/", {}, b"{}")
    assert other == Unreached("the certificate of other.test does not verify")
    assert names == ["hook.test", "hook.test", "other.test"]
