"""The proxy as a process of its own, as a container runs it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from tests.support import REPOSITORY, wait_until

SECRET = "the secret of these tests"

WITHIN_S = 60
"""It starts in half a second where cores are free."""


class Process:
    """``python -m egress``; what it writes is collected line by line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.lines: list[dict[str, Any]] = []
        self.other: list[str] = []
        self._reading = asyncio.create_task(self._read())
        self.host, self.port = "", 0

    @classmethod
    async def start(
        cls, inside: Sequence[str] = (), program: Sequence[str] = ("-m", "egress"), **settings: str
    ) -> Process:
        """``inside`` is a command that runs it elsewhere, such as in a network namespace."""
        given = {f"LEADFLEET_EGRESS_{name.upper()}": value for name, value in settings.items()}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LEADFLEET_EGRESS")}
        process = cls(
            await asyncio.create_subprocess_exec(
                *inside, sys.executable, *program,
                cwd=REPOSITORY,
                env={"LEADFLEET_EGRESS_BIND": "127.0.0.1:0", **environment, **given},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        )  # fmt: skip
        try:
            (line,) = await process.logged("listening")
        except BaseException:
            await process.stop()
            raise
        process.host, _, port = line["address"].rpartition(":")
        process.port = int(port)
        return process

    async def logged(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The lines of this event, once there are ``count``."""

        def found() -> list[dict[str, Any]] | None:
            lines = [line for line in self.lines if line["event"] == event]
            return lines if len(lines) >= count or self._process.returncode is not None else None

        lines = await wait_until(found, WITHIN_S, f"{count} lines {event!r}") or []
        assert len(lines) >= count, self.other
        return lines

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Its exit code."""
        code = await asyncio.wait_for(self._process.wait(), WITHIN_S)
        await self._reading
        return code

    async def stop(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self.signal(signal.SIGKILL)
        await self.ended()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            try:
                self.lines.append(json.loads(raw))
            except ValueError:
                self.other.append(raw.decode())


async def say(port: int, request: bytes, host: str = "127.0.0.1") -> bytes:
    """Send and read until the proxy closes."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 60)
    finally:
        writer.close()
        await writer.wait_closed()
