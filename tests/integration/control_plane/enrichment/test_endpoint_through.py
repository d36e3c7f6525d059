"""A model where the control plane has no way to the Internet of its own: through a real egress proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from control_plane.enrichment.endpoint import Endpoint, Failure, Reply
from control_plane.way_out import WayOut, is_inside
from tests.integration.control_plane.enrichment.conftest import KEY, Model
from tests.integration.egress.process import SECRET, Process
from tests.support import free_port

QUESTION = [{"role": "system", "content": "x"}, {"role": "user", "content": '{"leads": []}'}]


@pytest.fixture
async def proxy(model: Model) -> AsyncIterator[Process]:
    started = await Process.start(secret=SECRET, allow=f"model.test=127.0.0.1:{model.port}")
    yield started
    await started.stop()


async def asked(url: str, port: int, secret: str = SECRET) -> Reply | Failure:
    way_out = WayOut.of(f"127.0.0.1:{port}", secret, "r-1")
    endpoint = Endpoint(url, KEY, "gpt-test", timedelta(seconds=30), way_out=way_out)
    try:
        return await endpoint.ask(QUESTION, 100)
    finally:
        await endpoint.aclose()


async def test_a_question_leaves_through_the_proxy(proxy: Process, model: Model) -> None:
    assert isinstance(await asked("http://model.test/v1", proxy.port), Reply)
    assert model.keys == [f"Bearer {KEY}"]
    (line,) = await proxy.logged("access")
    assert (line["node"], line["unit"], line["host"]) == ("control-plane", "replica-r-1", "model.test")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_the_proxy_refuses_is_no_answer_of_the_endpoint(proxy: Process, scheme: str) -> None:
    """It would be blamed on the key, or thought to have cost something."""
    assert await asked(f"{scheme}://nowhere.invalid-name.example/v1", proxy.port) == Failure(
        "unreachable", "the egress proxy does not reach the endpoint: the name is unknown"
    )
    outcome = await asked(f"{scheme}://model.test/v1", proxy.port, "another secret of sixteen")
    assert isinstance(outcome, Failure)
    assert not outcome.may_have_cost
    assert outcome.kind == "unreachable"


async def test_the_proxy_does_not_learn_the_key() -> None:
    """A tunnel's end is the endpoint; aiohttp says a session's own headers at its beginning, too."""
    heads: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        await asked("https://model.test/v1", server.sockets[0].getsockname()[1])
    assert heads[0].startswith(b"CONNECT model.test:443 ")
    assert not [head for head in heads if KEY.encode() in head]


async def test_a_proxy_that_is_away_is_told() -> None:
    assert await asked("http://model.test/v1", free_port()) == Failure(
        "unreachable", "the egress proxy takes no connection"
    )


async def test_an_address_inside_is_reached_without_it(proxy: Process, model: Model) -> None:
    """The operator has named it; the proxy reaches what is outside alone."""
    assert isinstance(await asked(model.url, proxy.port), Reply)
    assert [line for line in proxy.lines if line["event"] == "access"] == []


@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("http://127.0.0.1:11434/v1", True), ("http://localhost:11434/v1", True), ("http://[::1]/v1", True),
        ("http://10.0.0.7/v1", True), ("http://[fd00::7]:8000/v1", True), ("https://1.1.1.1/v1", False),
        ("https://api.example/v1", False), ("http://model.internal/v1", False), ("https://999.1.1.1/", False),
    ],
)  # fmt: skip
def test_what_is_inside_says_so_itself(url: str, *, inside: bool) -> None:
    assert is_inside(url) == inside
