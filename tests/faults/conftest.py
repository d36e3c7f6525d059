"""Each module gets one running fleet; after each test the checker reads what its clients were told."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.fleet import SLACK, FaultyFleet, faulty_fleet, fleet_options
from tests.faults.ledger import MEASURED, Recovered
from tests.faults.site import Sites, sites


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Sites]:
    async with sites() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_fleet(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, site: Sites
) -> AsyncIterator[FaultyFleet]:
    """Shaped as the module's ``FLEET`` says, if it says something."""
    shape = getattr(request.module, "FLEET", {})
    directory = tmp_path_factory.mktemp("fleet")
    options = fleet_options(directory / "state", [f"*.site.test=127.0.0.1:{site.port}"], **shape)
    async with faulty_fleet(options, directory / "ledger") as fleet:
        await fleet.begin()
        yield fleet


@pytest_asyncio.fixture(loop_scope="module")
async def fleet(running_fleet: FaultyFleet, site: Sites) -> AsyncIterator[FaultyFleet]:
    """The module's fleet; the invariants are checked when the test is over."""
    yield running_fleet
    site.let_go()
    assert await running_fleet.check() == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table scenario → figure; bounds are those of the design, times without the slack of tests."""
    if MEASURED:
        terminalreporter.section("what was measured")
    for fact in MEASURED:
        if isinstance(fact, Recovered):
            figure, bound = f"{fact.seconds:.2f} s", f"{fact.bound_s / SLACK:g} s"
        else:
            figure, bound = f"{fact.size:,.0f}", f"{fact.bound:,.0f}"
        terminalreporter.write_line(f"{fact.what:<60} {figure:>16}   of {bound}")
