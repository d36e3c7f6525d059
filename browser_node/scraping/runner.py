"""Runs one unit: hands the frontier's pages to a few tabs, lets the source decide, and says what came of it.

What a page gave and the checkpoint change that says it is done leave in one ``put``. A unit that dies
anywhere is therefore resumed without losing a lead and without telling one twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import BrowserContext

from browser_node.scraping import boxes, sitemap
from browser_node.scraping.boxes import Box
from browser_node.scraping.checkpoint import Checkpoint
from browser_node.scraping.errors import BadQuery, ChromeLost, SaidByProxy, TabLost, VisitFailed, from_egress
from browser_node.scraping.fetch import fetch
from browser_node.scraping.following import ShownBoxes
from browser_node.scraping.options import UnitOptions
from browser_node.scraping.robots import Rules
from browser_node.scraping.sources import SOURCES
from browser_node.scraping.sources.base import Link, PageView, Reads, Source, Step, Visit
from browser_node.scraping.tab import Snapshot, Tab
from browser_node.scraping.types import Services, Stage, UnitControl, UnitOut, UnitResult
from browser_node.scraping.urls import origin_of
from fleet import ids
from fleet.cancellation import end_all
from fleet.messages import Run
from fleet.model import Outcome
from fleet.refusals import Category
from leads.identity import observation_id
from leads.model import Lead

TABS = 3
"""Pages load mostly by waiting; on two cores a fourth tab adds latency and no pages."""

TRIES = 3
TIMEOUT_TRIES = 2  # a page that hung twice for 15 s has had its chance
BACKOFF = timedelta(milliseconds=500)
CLOSE_GRACE_S = 5.0


async def run_unit(
    order: Run, context: BrowserContext, out: UnitOut, stage: Stage, services: Services, control: UnitControl
) -> UnitResult:
    """Run ``order`` in tabs of ``context`` until it is done, paused or cancelled.

    Raises LeaseLost (from ``out``) and CancelledError; everything else becomes a result. Tabs it opened are closed.
    """
    platform = SOURCES.get(order.platform)
    if platform is None:
        return _failed("bad_query", f"the platform {order.platform!r} is not built", retryable=False)
    source = platform(order.query, UnitOptions.parse(order.options))
    run = _UnitRun(order, source, context, out, stage, services, control)
    try:
        return await run.result()
    except BadQuery as exc:
        return _failed("bad_query", str(exc), retryable=False)
    except ChromeLost as exc:
        return _failed("chrome_lost", str(exc), retryable=True)


@dataclass(frozen=True, slots=True)
class _Read:
    """A page that was visited: what the source is shown, and where its phones stand."""

    view: PageView
    wanted: Sequence[dict[str, Any]] = ()
    boxes: Sequence[Box] = ()
    frame_seq: int = 0
    truncated: bool = False
    banner: str | None = None


class _UnitRun:
    """The state of one run; all decisions are in ``Source`` and ``Checkpoint``."""

    def __init__(
        self,
        order: Run,
        source: Source,
        context: BrowserContext,
        out: UnitOut,
        stage: Stage,
        services: Services,
        control: UnitControl,
    ) -> None:
        self._order, self._source, self._context = order, source, context
        self._out, self._stage, self._services, self._control = out, stage, services, control
        self._task = ids.split_unit_id(order.unit)[0]
        self._checkpoint = Checkpoint(order.checkpoint)
        self._seeds: frozenset[str] = frozenset()
        self._failure: VisitFailed | None = None
        self._in_flight = 0
        self._changed = asyncio.Condition()
        self._on_stage: Tab | None = None
        self._tabs: list[Tab] = []
        self._warm = next((page for page in context.pages if page.url == "about:blank"), None)
        self._busy: set[Tab] = set()
        self._shown = ShownBoxes(order.unit, out, stage)

    async def result(self) -> UnitResult:
        seeds = self._source.seeds()
        self._seeds = frozenset(visit.url for visit in seeds)
        self._checkpoint.add(seeds)
        workers: asyncio.Future[Any] = asyncio.gather(*(self._work(f"tab-{index}") for index in range(TABS)))
        cancelled: asyncio.Future[Any] = asyncio.ensure_future(self._control.cancelled.wait())
        following = asyncio.create_task(self._shown.follow(), name="boxes")
        try:
            await asyncio.wait([workers, cancelled, following], return_when=asyncio.FIRST_COMPLETED)
            for ended in (workers, following):
                if ended.done():
                    ended.result()
        finally:
            cancelled.cancel()
            await end_all([following])
            workers.cancel()
            await asyncio.wait({workers}, timeout=CLOSE_GRACE_S)
            if workers.done() and not workers.cancelled():
                workers.exception()  # the first one was raised above; mark it as seen on every path
            await asyncio.gather(*(tab.close() for tab in self._tabs))
        return self._conclusion()

    def _conclusion(self) -> UnitResult:
        if self._control.cancelled.is_set():
            return UnitResult(Outcome.STOPPED)
        if self._control.pausing.is_set() and not self._is_over():
            return UnitResult(Outcome.PAUSED)
        if self._failure is not None and self._checkpoint.count("read") == 0:
            failure = self._failure
            return _failed(failure.code, failure.detail, retryable=failure.retryable)
        return UnitResult(Outcome.COMPLETED)

    # The line of pages.

    async def _work(self, name: str) -> None:
        """One tab's life; it is opened for its first page, so a unit of one page opens one tab."""
        tab: Tab | None = None
        while (visit := await self._next()) is not None:
            try:
                if visit.reads is Reads.SITEMAP:
                    await self._read_sitemap(visit)
                else:
                    tab = await self._visit(tab, name, visit)
            finally:
                await self._landed()

    async def _next(self) -> Visit | None:
        """The next page, when there is one and may be one; None when nothing more will come."""
        await self._out.drained()
        await self._control.wheel.free()
        async with self._changed:
            while not self._must_stop():
                visit = self._checkpoint.next() if self._has_room() else None
                if visit is not None:
                    self._in_flight += 1
                    return visit
                if self._in_flight == 0:
                    break
                await self._changed.wait()
            self._changed.notify_all()
            return None

    async def _landed(self) -> None:
        async with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def _must_stop(self) -> bool:
        return self._control.cancelled.is_set() or self._control.pausing.is_set() or self._is_full()

    def _is_full(self) -> bool:
        limit = self._source.options.max_results
        return limit is not None and self._checkpoint.count("leads") >= limit

    def _has_room(self) -> bool:
        return self._checkpoint.count("pages") + self._in_flight < self._source.page_cap

    def _is_over(self) -> bool:
        return self._is_full() or self._checkpoint.waiting == 0 or not self._has_room()

    # One page.

    async def _visit(self, tab: Tab | None, name: str, visit: Visit) -> Tab | None:
        """Visit a page with retries and say what it gave. Returns the tab to go on with, None when it is lost."""
        attempt = 0
        while True:
            attempt += 1
            try:
                tab = tab or await self._open(name)
                read = await self._read(tab, visit)
            except TabLost as exc:
                await self._drop(tab)
                tab, failure = None, VisitFailed("tab_crashed", f"{visit.url}: {exc.found}", retryable=True)
            except VisitFailed as exc:
                failure = self._explained(exc, visit)
                if tab is not None and tab.spoiled:
                    await self._drop(tab)
                    tab = None
            else:
                self._tell(visit, read, tab)
                return tab
            if not failure.retryable or attempt >= _tries(failure) or self._control.pausing.is_set():
                break
            self._out.log("warning", f"{failure.detail}; trying again", url=visit.url, code=failure.code)
            await asyncio.sleep((BACKOFF * 4 ** (attempt - 1)).total_seconds())
        if failure.retryable and self._control.pausing.is_set():
            self._checkpoint.put_back(visit)
        else:
            self._give_up(visit, failure)
        return tab

    async def _open(self, name: str) -> Tab:
        # The node keeps one blank tab warm: the first page needs no new one. A resumed unit opens all its tabs at
        # once, so the warm one is taken before anything is awaited.
        warm, self._warm = self._warm, None
        tab = await Tab.open(self._context, name, warm)
        self._tabs.append(tab)
        return tab

    def _explained(self, failure: VisitFailed, visit: Visit) -> VisitFailed:
        """Chrome says of a refused tunnel only that it failed, and of a unit that was cut off nothing; the egress proxy
        knows why. A site that speaks in its name is believed nothing."""
        said = isinstance(failure, SaidByProxy)
        host = failure.host if isinstance(failure, SaidByProxy) else urlsplit(visit.url).hostname
        category = self._services.refusal(host or "")
        if category is not None and (said or failure.code == "tunnel" or category is Category.SPENT):
            return from_egress(category, visit.url)
        return failure

    async def _read(self, tab: Tab, visit: Visit) -> _Read:
        rules = await self._rules(visit.url)
        while True:
            await self._control.wheel.free()
            async with self._services.politeness.turn(urlsplit(visit.url).netloc, rules.crawl_delay):
                if not self._control.wheel.held:  # somebody may have taken it while this page waited for its turn
                    return await self._read_now(tab, visit, rules)

    async def _read_now(self, tab: Tab, visit: Visit, rules: Rules) -> _Read:
        wheel, turns = self._control.wheel, self._control.wheel.turns
        with self._staged(tab):
            self._out.put(current=visit.url, events=self._shown.left(tab))
            snapshot = await tab.load(visit.url, render=self._source.options.render)
            if origin_of(snapshot.url) != origin_of(visit.url):
                rules = await self._rules(snapshot.url)
            read = await self._extract(tab, visit, snapshot, rules)
            while turns != wheel.turns:  # somebody has steered meanwhile: what counts is the page that they leave
                self._out.put(events=self._told(tab, read))  # they want to see the boxes now
                await wheel.free()
                turns = wheel.turns
                read = await self._extract(tab, visit, await tab.read(), rules)
            return read

    async def _extract(self, tab: Tab, visit: Visit, snapshot: Snapshot, rules: Rules) -> _Read:
        leads = await self._services.extractor.extract(snapshot.html, snapshot.url)
        wanted = boxes.wanted(leads)
        found, seq = await tab.measure_on_picture(wanted, self._stage)
        view = PageView(visit, snapshot.url, snapshot.title, snapshot.links, boxes.placed(leads, found), rules.sitemaps)
        return _Read(view, wanted, found, seq, snapshot.truncated, snapshot.banner)

    def _told(self, tab: Tab, read: _Read) -> list[dict[str, Any]]:
        return self._shown.read(tab, read.view.url, read.wanted, read.boxes, read.frame_seq)

    async def _rules(self, url: str) -> Rules:
        """What robots.txt says; VisitFailed when it refuses ``url``."""
        if not self._source.options.respect_robots:
            return Rules()
        rules = await self._services.robots.rules(self._services.http, url, self._services.proxy_url)
        refusal = rules.refusal(url)
        if refusal is not None:
            raise refusal
        return rules

    async def _read_sitemap(self, visit: Visit) -> None:
        try:
            await self._rules(visit.url)
            answer = await fetch(
                self._services.http, visit.url, proxy_url=self._services.proxy_url, limit=sitemap.MAX_BYTES
            )
        except VisitFailed:
            links: tuple[Link, ...] = ()
        else:
            links = sitemap.addresses(answer.body) if answer.status == 200 else ()
        step = self._source.after(PageView(visit, visit.url, links=links), self._checkpoint.state)
        if links:
            self._out.log("info", f"Read the sitemap {visit.url}: {len(links)} addresses", url=visit.url)
        self._apply(visit, step, visit.url, pages=0)

    @contextlib.contextmanager
    def _staged(self, tab: Tab) -> Iterator[None]:
        """Show ``tab`` to viewers while the tab on stage has nothing to show; a switch restarts the picture."""
        self._busy.add(tab)
        if self._on_stage is None or self._on_stage not in self._busy:
            self._on_stage = tab
            self._stage.show(tab.page, tab.name)
        try:
            yield
        finally:
            self._busy.discard(tab)

    async def _drop(self, tab: Tab | None) -> None:
        if tab is not None:
            if self._on_stage is tab:
                self._on_stage = None
            self._tabs.remove(tab)
            self._shown.left(tab)
            await tab.close()

    # What is told.

    def _tell(self, visit: Visit, read: _Read, tab: Tab) -> None:
        view = read.view
        step = self._source.after(view, self._checkpoint.state)
        if read.banner is not None:
            self._out.log("info", f"Accepted the cookie banner of {view.url} ({read.banner})", url=view.url)
        if read.truncated:
            self._out.log("warning", f"{view.url} is very large: read its beginning only", url=view.url)
        self._checkpoint.raise_count("read", 1)
        events = [_log_event("info", _sentence(visit, view), url=view.url), *self._told(tab, read)]
        self._apply(visit, step, view.url, pages=1, events=events)

    def _give_up(self, visit: Visit, failure: VisitFailed) -> None:
        if visit.url in self._seeds:
            self._failure = failure
        if failure.retryable and visit.url in self._seeds:
            return  # stays in the frontier: the unit's next attempt begins with it
        level = "info" if failure.code == "robots_disallowed" else "warning"
        step = self._source.failed(visit, self._checkpoint.state)
        event = _log_event(level, f"Left out a page: {failure.detail}", url=visit.url, code=failure.code)
        self._apply(visit, step, visit.url, pages=1, left_out=1, events=[event])

    def _apply(
        self,
        visit: Visit,
        step: Step,
        landed: str,
        *,
        pages: int,
        left_out: int = 0,
        events: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Everything a page changes, in one put."""
        fresh = list(step.leads)
        limit = self._source.options.max_results
        if limit is not None:
            fresh = fresh[: max(0, limit - self._checkpoint.count("leads"))]
        checkpoint = self._checkpoint
        checkpoint.add(step.visits)
        checkpoint.remember(step.remember)
        checkpoint.finish(visit, landed)
        checkpoint.raise_count("pages", pages)
        checkpoint.raise_count("leads", len(fresh))
        notes = [_log_event("info", step.note)] if step.note else []
        delta = checkpoint.delta()
        self._out.put(
            events=[*events, *notes],
            results=[self._observation(lead, landed) for lead in (*fresh, *step.grown)],
            set=delta.set,
            unset=delta.unset,
            pages=pages,
            left_out=left_out,
            current=landed,
        )

    def _observation(self, lead: Lead, url: str) -> Lead:
        """``lead`` as told by this task."""
        lead = lead.model_copy(
            update={
                "task_id": self._task,
                "platform": self._source.NAME,
                "query": self._order.query[:1_000],
                "source_url": url,
                "found_at": datetime.now(UTC),
            }
        )
        return lead.model_copy(update={"observation_id": observation_id(self._task, lead)})


def _tries(failure: VisitFailed) -> int:
    return TIMEOUT_TRIES if failure.code in {"page_timeout", "tab_crashed"} else TRIES


def _sentence(visit: Visit, view: PageView) -> str:
    phones = sum(len(lead.phones) for lead in view.leads)
    emails = sum(len(lead.emails) for lead in view.leads)
    found = [_counted(phones, "phone"), _counted(emails, "e-mail address", "e-mail addresses")]
    told = " and ".join(part for part in found if part)
    return f"Opened {visit.label} {view.url}: " + (f"found {told}" if told else "no contacts on it")


def _counted(number: int, one: str, many: str = "") -> str:
    if number == 0:
        return ""
    return f"1 {one}" if number == 1 else f"{number} {many or one + 's'}"


def _log_event(level: str, message: str, **data: str) -> dict[str, Any]:
    return {"kind": "log", "data": {"level": level, "message": message, **data}}


def _failed(code: str, detail: str, *, retryable: bool) -> UnitResult:
    return UnitResult(Outcome.FAILED, code, detail, retryable)
