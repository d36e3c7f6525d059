"""A name that stands for a primary and its replica, as ElastiCache's does: two real servers, one shard, failovers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis import exceptions

from fleet.connect import Store, blocking_client, command_client, thread_client
from infra.stack import valkey
from tests.certificates import own_certificate
from tests.servers import ServerProcess, ValkeyServer
from tests.support import free_port, wait_until, wait_until_sync

NAME = "store.test"
SLOTS = 16_384
FIRST, SECOND = "127.0.0.2", "127.0.0.3"


class Shard:
    """Two servers in cluster mode, on one port of two addresses; ``primary`` is the address of the one that writes."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.bus = free_port()
        self.servers = {}
        for address in (FIRST, SECOND):
            data = directory / address
            data.mkdir()
            command = valkey.command(data, self.port)
            command[command.index("--bind") + 1] = f"{address} 127.0.0.1" if address == FIRST else address
            command += ["--cluster-enabled", "yes", "--cluster-port", str(self.bus), "--cluster-node-timeout", "2000"]
            command += ["--repl-diskless-sync-delay", "0"]
            command += ["--cluster-announce-ip", address]
            self.servers[address] = ServerProcess(command, self.port, data / "valkey.log")

    def start(self) -> None:
        for address, server in self.servers.items():
            server.start()
            wait_until_sync(partial(self._answers, address), 10, f"{address} to answer")
        self.ask(FIRST, "CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        self.ask(SECOND, "CLUSTER", "MEET", FIRST, self.port, self.bus)
        first = self.ask(FIRST, "CLUSTER", "MYID")
        wait_until_sync(lambda: first in str(self.ask(SECOND, "CLUSTER", "NODES")), 10, "the two to meet")
        self.ask(SECOND, "CLUSTER", "REPLICATE", first)
        wait_until_sync(lambda: self.ask(SECOND, "ROLE")[3] == "connected", 20, "the replica to follow")
        wait_until_sync(lambda: "cluster_state:ok" in self.ask(FIRST, "CLUSTER", "INFO"), 20, "the slots to be served")

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()

    def ask(self, address: str, *command: Any) -> Any:
        with redis.Redis(host=address, port=self.port, decode_responses=True, protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def promote(self, address: str, *how: str) -> None:
        """Make the replica the primary, as ElastiCache does in a failover."""
        self.ask(address, "CLUSTER", "FAILOVER", *how)
        wait_until_sync(lambda: self.ask(address, "ROLE")[0] == "master", 20, f"{address} to take over")

    def _answers(self, address: str) -> bool:
        try:
            return bool(self.ask(address, "PING") == "PONG")
        except (exceptions.ConnectionError, exceptions.TimeoutError):
            return False


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    made = Shard(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what NAME stands for, in this order."""
    real = socket.getaddrinfo

    def name(*addresses: str) -> None:
        def told(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
            if host != NAME:
                return real(host, port, *args, **kwargs)
            return [found for address in addresses for found in real(address, port, *args, **kwargs)]

        monkeypatch.setattr(socket, "getaddrinfo", told)

    return name


async def written(client: Any, value: str) -> bool:
    try:
        return bool(await client.set("lf:{x}:k", value))
    except exceptions.RedisError:
        return False


async def test_the_primary_is_found_in_whatever_order_the_addresses_come(
    shard: Shard, named: Callable[..., None]
) -> None:
    for order in ((FIRST, SECOND), (SECOND, FIRST)):
        named(*order)
        client = command_client(f"redis://{NAME}:{shard.port}/0", name="test")
        assert await client.set("lf:{x}:k", order[0])
        await client.aclose()
        with thread_client(f"redis://{NAME}:{shard.port}/0", name="test") as thread:
            assert thread.get("lf:{x}:k") == order[0].encode()


async def test_a_failover_is_a_connection_that_was_lost_and_the_next_one_is_the_new_primarys(
    shard: Shard, named: Callable[..., None]
) -> None:
    named(FIRST, SECOND)
    url = f"redis://{NAME}:{shard.port}/0"
    client, thread = command_client(url, name="test"), thread_client(url, name="test")
    await client.set("lf:{x}:k", "before")
    assert thread.get("lf:{x}:k") == b"before"
    shard.promote(SECOND)
    wait_until_sync(lambda: shard.ask(FIRST, "ROLE")[0] == "slave", 20, "the old primary to follow")
    with pytest.raises(exceptions.ConnectionError, match="is not the primary"):
        await client.set("lf:{x}:k", "after")
    assert await client.set("lf:{x}:k", "after")
    with pytest.raises(exceptions.ConnectionError, match="is not the primary"):
        thread.get("lf:{x}:k")
    assert thread.get("lf:{x}:k") == b"after"
    await client.aclose()
    thread.close()


async def test_a_primary_that_dies_is_left_for_the_one_that_takes_over(
    shard: Shard, named: Callable[..., None]
) -> None:
    """Its address stays in the name for a while."""
    named(FIRST, SECOND)
    client = command_client(f"redis://{NAME}:{shard.port}/0", name="test")
    assert await client.set("lf:{x}:k", "before")
    shard.servers[FIRST].kill()
    with pytest.raises((exceptions.ConnectionError, exceptions.TimeoutError)):
        await client.get("lf:{x}:k")
    shard.promote(SECOND, "TAKEOVER")

    async def is_found() -> bool:
        return await written(client, "after")

    await wait_until(is_found, 20, "the new primary to be found")
    await client.aclose()


async def test_a_read_that_waits_at_a_server_that_is_demoted_ends(shard: Shard, named: Callable[..., None]) -> None:
    named(FIRST, SECOND)
    url = f"redis://{NAME}:{shard.port}/0"
    client: Store = blocking_client(url, name="test", block=timedelta(seconds=30))
    reading = asyncio.create_task(client.xread({"lf:{x}:s": "$"}, block=30_000))
    await wait_until(lambda: "cmd=xread" in shard.ask(FIRST, "CLIENT", "LIST"), 10, "the read to wait")
    shard.promote(SECOND)
    with pytest.raises(exceptions.ConnectionError):
        await asyncio.wait_for(reading, 20)
    await client.aclose()


async def test_replicas_alone_are_no_store(shard: Shard, named: Callable[..., None]) -> None:
    named(SECOND)
    client = command_client(f"redis://{NAME}:{shard.port}/0", name="test")
    with pytest.raises(exceptions.ConnectionError, match="no primary for now"):
        await client.ping()
    await client.aclose()


async def test_a_primary_without_its_slots_is_a_store_that_is_away(shard: Shard, named: Callable[..., None]) -> None:
    named(FIRST, SECOND)
    client = command_client(f"redis://{NAME}:{shard.port}/0", name="test")
    assert await client.set("lf:{x}:k", "v")
    shard.ask(FIRST, "CLUSTER", "DELSLOTSRANGE", 0, SLOTS - 1)
    with pytest.raises(exceptions.ConnectionError, match="is not the primary"):
        await client.set("lf:{x}:k", "v")
    await client.aclose()


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A server without cluster mode."""
    server = ValkeyServer(tmp_path)
    server.start()
    yield server
    server.stop()


async def test_a_server_without_cluster_mode_is_demoted_just_so(lone: ValkeyServer) -> None:
    client, thread = command_client(lone.url, name="test"), thread_client(lone.url, name="test")
    await client.set("k", "v")
    thread.set("k", "v")
    with redis.Redis(port=lone.port) as operator:
        operator.replicaof("127.0.0.1", free_port())
    with pytest.raises(exceptions.ConnectionError, match="is not the primary"):
        await client.set("k", "v")
    with pytest.raises(exceptions.ConnectionError, match="no primary for now"):
        await client.set("k", "v")
    with pytest.raises(exceptions.ConnectionError, match="is not the primary"):
        thread.set("k", "v")
    await client.aclose()
    thread.close()


async def test_a_wrong_password_is_told_as_such(shard: Shard, named: Callable[..., None]) -> None:
    """Nodes try theirs until they are let in, and tell this from a store that is away."""
    named(SECOND, FIRST)
    client = command_client(f"redis://nobody:wrong@{NAME}:{shard.port}/0", name="test")
    with pytest.raises(exceptions.AuthenticationError):
        await client.ping()
    await client.aclose()


async def test_a_name_that_stands_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(*_args: Any, **_kwargs: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", told)
    client = command_client(f"redis://{NAME}:1/0", name="test")
    with pytest.raises(exceptions.ConnectionError, match=f"{NAME} has no address"):
        await client.ping()
    await client.aclose()


@pytest.fixture
async def encrypted(shard: Shard, tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    """The shard behind TLS, with one certificate for NAME alone: a port of both addresses, and whom to trust."""
    trusted = tmp_path / "store.pem"
    trusted.write_bytes(own_certificate(NAME)[1])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(trusted)
    port = free_port()

    def forward(address: str) -> Any:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            inner_reader, inner_writer = await asyncio.open_connection(address, shard.port)
            await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

        return connected

    async with AsyncExitStack() as there:
        for address in (FIRST, SECOND):
            server = await asyncio.start_server(forward(address), address, port, ssl=context)
            await there.enter_async_context(server)
        yield port, trusted


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while said := await reader.read(65_536):
            writer.write(said)
            await writer.drain()
    except OSError:
        pass  # the other side has gone, and so do we
    finally:
        writer.close()


async def test_the_certificate_is_the_names_and_not_the_addresses(
    encrypted: tuple[int, Path], named: Callable[..., None]
) -> None:
    port, trusted = encrypted
    named(SECOND, FIRST)
    url = f"rediss://{NAME}:{port}/0?ssl_ca_certs={trusted}"
    client = command_client(url, name="test")
    assert await client.set("lf:{x}:k", "sealed")
    await client.aclose()
    with thread_client(url, name="test") as thread:
        assert await asyncio.to_thread(thread.get, "lf:{x}:k") == b"sealed"
    by_address = command_client(f"rediss://{FIRST}:{port}/0?ssl_ca_certs={trusted}", name="test")
    with pytest.raises(exceptions.ConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        await by_address.ping()
    await by_address.aclose()
