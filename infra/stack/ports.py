"""Loopback ports: several free ones at once, and whether one is taken."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import ExitStack

from infra.stack.errors import PortDenied, PortTaken


def free_ports(count: int) -> list[int]:
    """``count`` different ports that nobody listens on; held together while they are chosen."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def require_free(port: int) -> None:
    """Raise `PortTaken` when somebody listens on ``port``, `PortDenied` when it is not ours to listen on.

    A connection that lingers is no obstacle.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(port) if error.errno == errno.EADDRINUSE else PortDenied(port, error) from error


async def accepts(port: int) -> bool:
    """Whether somebody on this machine accepts connections on ``port``."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
