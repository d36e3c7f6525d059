"""One whole stack a module: two replicas, two nodes with two Chromes each, the sample town, and a gated site."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.stack.options import Options
from tests.stacks import Client, Gate, client_of, gated_site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate() -> AsyncIterator[Gate]:
    async with gated_site() as gate:
        yield gate


def options(state: Path, gate: Gate) -> Options:
    allowed = (f"*.gate.test=127.0.0.1:{gate.port}",)
    return Options(state=state, replicas=2, nodes=2, slots=2, town=True, egress_allow=allowed)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> AsyncIterator[Client]:
    async with client_of(options(tmp_path_factory.mktemp("stack"), gate)) as client:
        yield client
