"""One stack of containers for all modules; the ledger of each test is checked when it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from infra.bootstrap import docker
from infra.bootstrap.docker import EngineMissing
from infra.containers.project import Project
from tests.faults.conftest import pytest_terminal_summary  # noqa: F401 - prints what was measured
from tests.faults.site import Sites
from tests.sites import answering
from tests.stack.fleet import ContainerFleet, container_fleet, running
from tests.stack.hostile import HostilePages
from tests.support import free_port

TOWN_NET = "172.31.251"
"""Not that of `make stack`, which may run beside."""

MACHINE = f"{TOWN_NET}.1"
"""This machine on the network of the egress proxy: the sites of the tests serve there."""


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """It runs; skipped where no Docker engine can be had."""
    site, hostile = free_port(), free_port()
    made = Project(
        name="leadfleet-test",
        http_port=free_port(),
        town_net=TOWN_NET,
        secrets=tmp_path_factory.mktemp("stack") / "secrets",
        profiles=("town",),
        egress_allow=f"*.site.test={MACHINE}:{site},*.hostile.test={MACHINE}:{hostile}",
    )
    try:
        with docker.engine(), running(made):
            yield made
    except EngineMissing as exc:
        pytest.skip(f"the stack in containers was not tried: {exc}")


def port_of(project: Project, sites: str) -> int:
    """Where the sites of a name serve, as the egress proxy was told."""
    allowed = dict(entry.split("=") for entry in project.egress_allow.split(","))
    return int(allowed[f"*.{sites}.test"].rpartition(":")[2])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(project: Project) -> AsyncIterator[Sites]:
    made = Sites()
    async with answering(made.answer, MACHINE, port_of(project, "site")) as made.port:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hostile(project: Project) -> AsyncIterator[HostilePages]:
    made = HostilePages()
    async with answering(made.answer, MACHINE, port_of(project, "hostile")) as made.port:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(project: Project, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ContainerFleet]:
    async with container_fleet(project, tmp_path_factory.mktemp("ledger")) as fleet:
        yield fleet


@pytest_asyncio.fixture(loop_scope="module")
async def fleet(running_fleet: ContainerFleet, site: Sites) -> AsyncIterator[ContainerFleet]:
    """The module's fleet, healthy, with one node; the invariants are checked when the test is over."""
    await running_fleet.healthy()
    await running_fleet.all_nodes_up()
    yield running_fleet
    site.let_go()
    assert await running_fleet.check() == []
