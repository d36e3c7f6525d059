"""A node with one Chrome for all pages of the module, a viewer who watches it, and a site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page
from redis.asyncio import Redis

from browser_node.chrome_binary import find_chrome
from browser_node.node import Node
from browser_node.scraping import boxes
from browser_node.scraping.runner import run_unit
from browser_node.scraping.services import open_services
from browser_node.scraping.tab import Tab
from browser_node.scraping.types import Services, Stage, UnitControl, UnitOut, UnitResult
from browser_node.settings import Settings
from fleet.messages import Frame, Pause, Run, Watch
from fleet.model import Outcome
from leads.model import Lead, Phone
from tests.fakes.fake_control import FakeControl
from tests.integration.boxes.picture import Overlay
from tests.integration.boxes.shapes import Shape
from tests.integration.scraping.support import Site
from tests.servers import ValkeyServer

NODE = "n1"
WATCH_S = 3_600  # a viewer of the whole module
HOSTS = ("kim.test", "other.test", "third.test")
FIND = "selector => document.querySelector(selector)"
FIND_IN_HOST = "(host, selector) => host.shadowRoot.querySelector(selector)"
SAYS = "e => [e.textContent, e.value, ...e.getAttributeNames().map(name => e.getAttribute(name))].join(' ')"

BeforePicture = Callable[[Page], Awaitable[None]]


async def nothing(_: object) -> None:
    """Leaves a page as it is."""


@dataclass(frozen=True)
class Shown:
    """What came of one page: the picture that a viewer has in the end, what was told about it, what is stored."""

    frame: Frame
    told: list[dict[str, Any]]
    """Data of ``coordinates`` events."""
    leads: list[Lead]

    @property
    def overlay(self) -> Overlay:
        return Overlay.of(self.frame.jpeg)

    @property
    def phones(self) -> dict[str | None, Phone]:
        return {phone.normalized_e164: phone for lead in self.leads for phone in lead.phones}


@dataclass
class _StageWithPause:
    """A unit's stage; ``before`` happens between a measurement and its picture."""

    stage: Stage
    before: BeforePicture

    def show(self, page: Page, tab: str) -> None:
        self.stage.show(page, tab)

    async def picture(self, page: Page, scroll: tuple[float, float]) -> int:
        await self.before(page)
        return await self.stage.picture(page, scroll)

    async def next_picture(self, after: int) -> tuple[int, Page]:
        return await self.stage.next_picture(after)


@dataclass
class Guest:
    """A tab of the node's Chrome on the stage of a unit of its own, which visits pages as the runner does."""

    tab: Tab
    stage: Stage
    services: Services


@dataclass
class Studio:
    """Has the node visit pages while somebody watches."""

    control: FakeControl
    site: Site
    before_picture: BeforePicture = nothing
    device: dict[str, Any] | None = None
    guest: asyncio.Future[Guest] | None = None
    visit: Run | None = None
    """The guest's unit."""

    async def run(self, shape: Shape, before_picture: BeforePicture = nothing) -> Shown:
        """A whole unit that visits ``shape``."""
        order = await self._unit(shape, before_picture)
        leads = [Lead.model_validate(lead) for batch in self.control.batches(order) for lead in batch.results]
        return Shown(await self._frame(order.unit), self.told(order), leads)

    async def run_unwatched(self, shape: Shape) -> list[dict[str, Any]]:
        """The data of the ``coordinates`` events of a unit that nobody looks at."""
        return self.told(await self._unit(shape, nothing, watched=False))

    async def look(self, shape: Shape) -> Shown:
        """What the guest sees of ``shape``."""
        if self.guest is None:
            self.guest = asyncio.get_running_loop().create_future()
            self.visit = await self._order("guest")
        assert self.visit is not None
        guest = await asyncio.wait_for(asyncio.shield(self.guest), 20)
        tab, stage = guest.tab, guest.stage
        self._serve(shape.html, shape.frames)
        session = await tab.page.context.new_cdp_session(tab.page)
        try:
            await session.send("Emulation.setDeviceMetricsOverride", shape.device)
            snapshot = await tab.load("http://kim.test/")
            if shape.page_scale != 1:
                await session.send("Emulation.setPageScaleFactor", {"pageScaleFactor": shape.page_scale})
            leads = await guest.services.extractor.extract(snapshot.html, snapshot.url)
            found, seq = await tab.measure_on_picture(boxes.wanted(leads), stage)
            if seq == 0:
                seq = await stage.picture(tab.page, tuple(await tab.page.evaluate("[scrollX, scrollY]")))
            assert seq, "no picture came"
        finally:
            await session.detach()
        return Shown(await self._frame(self.visit.unit), [], boxes.placed(leads, found))

    async def named(self, selector: str) -> str:
        """What the element that ``selector`` finds on the guest's page says: its text, value and attributes."""
        assert self.guest is not None
        page = (await self.guest).tab.page
        first, *inner = selector.split(" >>> ")
        element = (await page.evaluate_handle(FIND, first)).as_element()
        for part in inner:
            assert element is not None, f"{selector} stops before {part}"
            frame = await element.content_frame()
            handle = await (frame.evaluate_handle(FIND, part) if frame else element.evaluate_handle(FIND_IN_HOST, part))
            element = handle.as_element()
        assert element is not None, f"{selector} finds nothing"
        return str(await element.evaluate(SAYS))

    async def end_visit(self) -> None:
        """Free the slot."""
        if self.visit is not None:
            await self.control.tell(NODE, Pause(self.visit.boot, self.visit.unit, self.visit.fence))
            await self.control.ended(self.visit)
            self.visit = self.guest = None

    async def run_unit(
        self,
        order: Run,
        context: BrowserContext,
        out: UnitOut,
        stage: Stage,
        services: Services,
        control: UnitControl,
    ) -> UnitResult:
        """The node's runner, or for the query ``guest`` a tab that stays until the unit is stopped."""
        if order.query != "guest":
            if self.device:
                session = await context.new_cdp_session(context.pages[0])
                await session.send("Emulation.setDeviceMetricsOverride", self.device)
            return await run_unit(order, context, out, _StageWithPause(stage, self.before_picture), services, control)
        tab = await Tab.open(context, "tab-0", context.pages[0])
        stage.show(tab.page, tab.name)
        assert self.guest is not None
        self.guest.set_result(Guest(tab, stage, services))
        await control.pausing.wait()
        return UnitResult(Outcome.PAUSED)

    async def _unit(self, shape: Shape, before_picture: BeforePicture, *, watched: bool = True) -> Run:
        """Visit ``shape`` in a unit, to its end."""
        order = await self.begin(shape, before_picture, watched=watched)
        await self.control.ended(order)
        return order

    async def begin(self, shape: Shape, before_picture: BeforePicture = nothing, *, watched: bool = True) -> Run:
        """Have a unit visit ``shape``."""
        await self.end_visit()
        self.before_picture, self.device = before_picture, shape.device if shape.metrics else None
        self._serve(shape.html, shape.frames)
        return await self._order("http://kim.test/", watched=watched)

    async def watch(self, seconds: int) -> None:
        """Have somebody look at the slot for so long."""
        boot = (await self.control.registered()).boot
        await self.control.tell(NODE, Watch(boot, 0, seconds, quality=60, fps=10))

    async def _order(self, query: str, *, watched: bool = True) -> Run:
        await self.watch(WATCH_S if watched else 0)
        return await self.control.run(NODE, query)

    def told(self, order: Run) -> list[dict[str, Any]]:
        """The data of the ``coordinates`` events of a unit so far."""
        events = [event for batch in self.control.batches(order) for event in batch.events]
        return [event["data"] for event in events if event["kind"] == "coordinates"]

    def _serve(self, html: str, frames: Mapping[str, str]) -> None:
        inner = {f"{host}{path}": frame for host in HOSTS for path, frame in frames.items()}
        self.site.pages = {"kim.test/": html, **inner}

    async def _frame(self, unit: str) -> Frame:
        frame = await self.control.frame(NODE)
        assert frame is not None
        assert frame.unit == unit, "no picture of this page came"
        return frame


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def studio(valkey_server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Studio]:
    chrome = find_chrome()
    assert chrome is not None, "no Chrome on this machine: run `make chromium`"
    client = Redis.from_url(valkey_server.url)
    await client.flushall()
    async with Site().serve() as site, FakeControl(client) as control:
        studio = Studio(control, site)
        settings = Settings(
            join_url=valkey_server.url.replace("redis://", "redis://join:x@"),
            slots=1,
            node_id=NODE,
            drain_s=0.2,
            recycle_units=10_000,
            state=tmp_path_factory.mktemp("node"),
            egress_allow=f"*.test=127.0.0.1:{site.port}",
        )
        node = Node(settings, chrome, studio.run_unit, open_services)
        running = asyncio.create_task(node.run())
        try:
            await control.registered()
            yield studio
        finally:
            node.leave()
            await asyncio.wait_for(running, 20)
    await client.aclose()
