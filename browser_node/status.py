"""What the agent says of itself to whoever is on its machine: a line of JSON on a socket in its state directory.

It comes from the agent's loop, so that an agent whose loop hangs says nothing. Nobody is let in but who may enter the
directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

SOCKET = "agent.sock"

Status = dict[str, Any]
"""``ports``: the debug ports of the Chromes that are warm. ``registered``: whether units may come. ``sandbox``: as in
the node's record."""


@contextlib.asynccontextmanager
async def telling(state: Path, status: Callable[[], Status]) -> AsyncIterator[None]:
    """Answer whoever connects, for as long as the block lasts."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(json.dumps(status()).encode() + b"\n")
        writer.close()

    path = state / SOCKET
    path.unlink(missing_ok=True)  # of an agent that was killed
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _short(state) as folder:
        listening.bind(f"{folder}/{SOCKET}")
    server = await asyncio.start_unix_server(answer, sock=listening)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


def ask(state: Path, timeout_s: float) -> Status:
    """What the agent of this state directory says. Raises OSError when it does not, ValueError for anything else."""
    with _short(state) as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(timeout_s)
        asking.connect(f"{folder}/{SOCKET}")
        with asking.makefile("rb") as lines:
            told: Status = json.loads(lines.readline())
    return told


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Another path to ``folder``: the kernel allows 107 characters for a socket's, and state directories lie deep."""
    if sys.platform != "linux":
        yield str(folder)
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
