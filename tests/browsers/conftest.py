"""A whole stack, a page of another origin, and the three browsers; at the end a table of what each of them could do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web

from infra.stack.options import Options
from tests.browsers.table import Table
from tests.door import Door
from tests.door import door_site as door_of
from tests.sites import answering
from tests.stacks import Client, Gate, client_of, gated_site
from tests.support import REPOSITORY

if TYPE_CHECKING:
    from tests.browsers.page import Page

# only `make e2e-browsers` installs what drives browsers; without it there is nothing here to run
collect_ignore_glob = [] if find_spec("selenium") else ["test_*.py"]

FOLDER = Path(__file__).parent
TABLE = pytest.StashKey[Table]()
CLIENT = REPOSITORY / "clients" / "typescript" / "dist"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = Table()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    feature = item.get_closest_marker("feature")
    if feature and (report.when == "call" or not report.passed):
        why = str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        assert isinstance(item, pytest.Function)
        how = dict(item.user_properties).get("how", why)
        item.config.stash[TABLE].add(feature.args[0], item.callspec.params["page"], report.outcome, str(how))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash[TABLE].lines():
        terminalreporter.write_line(line)


@dataclass(frozen=True)
class Frontend:
    """Somebody's own page in front of the API: of another origin, with the built client beside it."""

    origin: str
    """At ``localhost``, as the API's own address may be: the same site."""

    async def token(self, client: Client, task: str) -> dict[str, Any]:
        """What its server gets for it, since a browser can send no key with a stream, a picture or a download."""
        asked = {"task_id": task, "kinds": ["events", "live", "export"]}
        token: dict[str, Any] = await client.post("/api/auth/stream-token", asked)
        return token


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def frontend() -> AsyncIterator[Frontend]:
    async def answer(request: web.Request) -> web.StreamResponse:
        folder, name = (CLIENT, request.path.removeprefix("/client/")) if "/client/" in request.path else (FOLDER, "")
        path = folder / (name or "frontend.html")
        return web.FileResponse(path) if path.is_file() else web.Response(status=404)

    async with answering(answer) as port:
        yield Frontend(f"http://localhost:{port}")


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def gate() -> AsyncIterator[Gate]:
    async with gated_site() as gate:
        yield gate


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def door_site() -> AsyncIterator[Door]:
    async with door_of() as door:
        yield door


@pytest.fixture
def door(door_site: Door) -> Door:
    """The site that wants a person, as if nobody had been there."""
    door_site.close()
    return door_site


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def client(
    tmp_path_factory: pytest.TempPathFactory, gate: Gate, door_site: Door, frontend: Frontend
) -> AsyncIterator[Client]:
    options = Options(
        state=tmp_path_factory.mktemp("stack"),
        slots=2,
        town=True,
        egress_allow=(f"*.gate.test=127.0.0.1:{gate.port}", f"*.door.test=127.0.0.1:{door_site.port}"),
        settings={"LEADFLEET_ALLOWED_ORIGINS": frontend.origin},
    )
    async with client_of(options) as client:
        yield client


@pytest.fixture(scope="package")
def display() -> Iterator[str]:
    from tests.browsers.launch import screen

    with screen() as display:
        yield display


@pytest.fixture(params=["chromium", "firefox", "webkit"])
def page(request: pytest.FixtureRequest, display: str, tmp_path: Path) -> Iterator[Page]:
    """A tab of a browser that was started for this test."""
    from tests.browsers.launch import launched
    from tests.browsers.page import Page

    downloads = tmp_path / "downloads"
    downloads.mkdir()
    with launched(request.param, downloads, display) as driver:
        names = driver.capabilities
        request.config.stash[TABLE].versions[request.param] = f"{names['browserName']} {names['browserVersion']}"
        yield Page(driver, downloads)
