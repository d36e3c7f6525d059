"""Connections that end at the primary, where one name stands for a primary and its replicas.

ElastiCache gives a durable store one name, whose addresses are those of all its servers, and expects clients that know
a cluster's slots. A fleet is one slot (`fleet/keys.py`), so all that is to be found is the one server that writes: of
each address, ``HELLO`` tells whether it is that. No right is needed that a node would not have anyway. A server that
was the primary when we connected and is not any more refuses what it is asked; that counts as a connection that was
lost, for nothing was done, and connecting anew finds the one that has taken over.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from redis import exceptions

from fleet.addresses import is_address

NOT_OURS = (exceptions.MovedError, exceptions.ReadOnlyError, exceptions.ClusterDownError)
"""What a replica answers to commands for its primary, with cluster mode and without, and a cluster without one."""


class Primary:
    """For connections of ``redis.asyncio``.

    Connecting raises what the first address that failed raised, and ConnectionError when all answered and none of them
    is the primary.
    """

    _address: str | None = None
    """The one that was tried last; while we are connected, the primary's."""

    async def connect_check_health(self: Any, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if self.is_connected:
            return
        failed: exceptions.ConnectionError | exceptions.TimeoutError | None = None
        for address in _last_first(self._address, await self._addresses()):
            self._address = address
            try:
                await super().connect_check_health(check_health, retry_socket_connect)  # type: ignore[misc]
                if await self._is_primary():
                    return
            except (exceptions.ConnectionError, exceptions.TimeoutError) as exc:
                failed = failed or exc
            except BaseException:
                await self.disconnect(nowait=True)
                raise
            await self.disconnect(nowait=True)
        raise failed or exceptions.ConnectionError(f"{self.host}:{self.port} has no primary for now, replicas alone")

    async def read_response(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)  # type: ignore[misc]
        except NOT_OURS as exc:
            await self.disconnect(nowait=True)
            raise exceptions.ConnectionError(f"{self._address} is not the primary of {self.host}: {exc}") from exc

    def _connection_arguments(self: Any) -> dict[str, Any]:
        arguments = {**super()._connection_arguments(), "host": self._address}  # type: ignore[misc]
        return arguments | ({"server_hostname": self.host} if "ssl" in arguments else {})

    async def _addresses(self: Any) -> list[str]:
        if is_address(self.host):
            return [self.host]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.socket_connect_timeout):
                return _unique(await loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        except TimeoutError as exc:
            raise exceptions.TimeoutError(f"nobody has told the addresses of {self.host}") from exc
        except OSError as exc:
            raise exceptions.ConnectionError(f"{self.host} has no address: {exc}") from exc

    async def _is_primary(self: Any) -> bool:
        await self.send_command("HELLO", check_health=False)
        return _tells_of_a_primary(await self.read_response())


class ThreadPrimary:
    """The same for connections of ``redis``."""

    _address: str | None = None

    def connect_check_health(self: Any, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if self._sock:
            return
        failed: exceptions.ConnectionError | exceptions.TimeoutError | None = None
        for address in _last_first(self._address, self._addresses()):
            self._address = address
            try:
                super().connect_check_health(check_health, retry_socket_connect)  # type: ignore[misc]
                if self._is_primary():
                    return
            except (exceptions.ConnectionError, exceptions.TimeoutError) as exc:
                failed = failed or exc
            except BaseException:
                self.disconnect()
                raise
            self.disconnect()
        raise failed or exceptions.ConnectionError(f"{self.host}:{self.port} has no primary for now, replicas alone")

    def read_response(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        except NOT_OURS as exc:
            self.disconnect()
            raise exceptions.ConnectionError(f"{self._address} is not the primary of {self.host}: {exc}") from exc

    def _connect(self: Any) -> Any:
        name, self.host = self.host, self._address
        self._name = name
        try:
            return super()._connect()  # type: ignore[misc]
        finally:
            self.host = name

    def _wrap_socket_with_ssl(self: Any, sock: socket.socket) -> Any:
        self.host = self._name  # whose certificate it is
        return super()._wrap_socket_with_ssl(sock)  # type: ignore[misc]

    def _addresses(self: Any) -> list[str]:
        if is_address(self.host):
            return [self.host]
        try:
            return _unique(socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM))
        except OSError as exc:
            raise exceptions.ConnectionError(f"{self.host} has no address: {exc}") from exc

    def _is_primary(self: Any) -> bool:
        self.send_command("HELLO", check_health=False)
        return _tells_of_a_primary(self.read_response())


def _tells_of_a_primary(hello: Sequence[Any]) -> bool:
    """``hello`` is RESP2's flat list of names and values."""
    return bool(dict(zip(hello[::2], hello[1::2], strict=True))[b"role"] == b"master")


def _last_first(last: str | None, addresses: Sequence[str]) -> list[str]:
    """Where we were before there is most to hope for: of a server that is gone, the name may tell for a while."""
    return sorted(addresses, key=lambda address: address != last)


def _unique(found: Sequence[tuple[Any, ...]]) -> list[str]:
    return list(dict.fromkeys(address[0] for *_, address in found))
