"""Replicas as processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from tests.support import REPOSITORY

Start: TypeAlias = Callable[..., Awaitable[asyncio.subprocess.Process]]
"""Takes settings by their names without ``LEADFLEET_``, in small letters."""


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a replica. What a test that failed leaves running is killed."""
    started: list[asyncio.subprocess.Process] = []

    async def start(**settings: str) -> asyncio.subprocess.Process:
        environment = os.environ | {f"LEADFLEET_{name.upper()}": value for name, value in settings.items()}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "control_plane"), env=environment, cwd=REPOSITORY, stderr=asyncio.subprocess.PIPE
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.communicate()
