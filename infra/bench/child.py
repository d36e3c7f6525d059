"""Processes of a bench: what must not share a processor's turn with what is measured, and servers to compare with."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any


async def run_module(name: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """What ``python -m name`` writes, JSON, when it is given ``plan`` as JSON. RuntimeError when it fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", name, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        told, _ = await process.communicate(json.dumps(plan).encode())
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode:
        raise RuntimeError(f"{name} ended with {process.returncode}; what it said is above")
    return dict(json.loads(told))


@asynccontextmanager
async def serving(source: str, *arguments: str) -> AsyncIterator[int]:
    """The port of a server whose program is ``source``, which prints it as its first line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", source, *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()
