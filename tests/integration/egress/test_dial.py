"""egress.dial on real sockets: the first address that takes the connection is used, and no more time than was given."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta

import pytest

from egress import dial as dialling
from egress.dial import dial, in_turns

LONG = timedelta(seconds=30)


@contextlib.contextmanager
def listening(address: str, port: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind((address, port))
        made.listen(16)
        made.setblocking(False)
        yield made


@contextlib.contextmanager
def deaf(address: str, port: int) -> Iterator[None]:
    """An address that answers no connection: its queue of those is full, so the kernel drops what comes."""
    with socket.socket() as made, contextlib.ExitStack() as stack:
        made.bind((address, port))
        made.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


async def let_go(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_the_next_address_is_tried_beside_one_that_does_not_answer() -> None:
    with listening("127.0.0.3") as good:
        port = good.getsockname()[1]
        with deaf("127.0.0.1", port), deaf("127.0.0.2", port):
            (_, writer), address = await dial(["127.0.0.1", "127.0.0.2", "127.0.0.3"], port, LONG)
        assert address == writer.get_extra_info("peername")[0] == "127.0.0.3"
        await let_go(writer)


async def test_the_time_is_for_all_addresses_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "NEXT_AFTER", timedelta(milliseconds=1))
    with listening("127.0.0.9") as free:
        port = free.getsockname()[1]
    addresses = [f"127.0.0.{last}" for last in range(1, 6)]
    with contextlib.ExitStack() as stack:
        for address in addresses:
            stack.enter_context(deaf(address, port))
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError):
            await dial(addresses, port, timedelta(seconds=0.5))
        assert loop.time() - began < 0.5 * len(addresses)


async def test_an_address_that_refuses_costs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "NEXT_AFTER", LONG)
    with listening("127.0.0.3") as good:
        port = good.getsockname()[1]
        (_, writer), address = await asyncio.wait_for(dial(["127.0.0.1", "127.0.0.2", "127.0.0.3"], port, LONG), 20)
        assert address == "127.0.0.3"
        await let_go(writer)
    with pytest.raises(ConnectionRefusedError):
        await dial(["127.0.0.1", "127.0.0.2"], port, LONG)


async def test_of_two_that_are_there_at_once_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "NEXT_AFTER", timedelta(0))
    connect, both = asyncio.open_connection, asyncio.Barrier(2)

    async def together(address: str, port: int) -> dialling.Streams:
        streams = await connect(address, port)
        await both.wait()
        return streams

    monkeypatch.setattr(asyncio, "open_connection", together)
    with listening("127.0.0.1") as first, listening("127.0.0.2", first.getsockname()[1]) as second:
        (_, writer), address = await dial(["127.0.0.1", "127.0.0.2"], first.getsockname()[1], LONG)
        accepted, _ = (second if address == "127.0.0.1" else first).accept()
        with accepted:
            accepted.setblocking(False)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(accepted, 1), 20) == b""
        await let_go(writer)


async def test_who_gives_up_leaves_no_socket() -> None:
    """The suite fails for a socket that nobody closed."""
    with listening("127.0.0.9") as free:
        port = free.getsockname()[1]
    with deaf("127.0.0.1", port):
        giving_up = asyncio.create_task(dial(["127.0.0.1"], port, LONG))
        await asyncio.sleep(0)
        giving_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await giving_up


def test_families_take_turns() -> None:
    """A machine without a route for one of them reaches the other one at the second attempt."""
    assert in_turns(["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"]) == [
        "2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3",
    ]  # fmt: skip
    assert in_turns(["192.0.2.1", "192.0.2.2"]) == ["192.0.2.1", "192.0.2.2"]
