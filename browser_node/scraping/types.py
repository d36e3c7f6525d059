"""What a unit's run needs from the node, and what it gives back.

The node (agent, slots, outbox) implements ``UnitOut`` and ``Stage`` and makes ``Services`` once for all its
slots; ``runner.run_unit`` only sees these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from browser_node.scraping.wheel import Wheel
from fleet.model import Outcome
from fleet.refusals import Category
from leads.model import Lead

if TYPE_CHECKING:
    import aiohttp
    from playwright.async_api import Page

    from browser_node.scraping.politeness import HostPoliteness
    from browser_node.scraping.robots import RobotsCache


class UnitOut(Protocol):
    """The way out of a unit. Nothing is written before it is put here, and a put is never split."""

    def put(
        self,
        *,
        events: Sequence[dict[str, Any]] = (),
        results: Sequence[Lead] = (),
        set: Mapping[str, str] = {},  # noqa: A002 - the name of the field of fleet.messages.Batch
        unset: Sequence[str] = (),
        pages: int = 0,
        left_out: int = 0,
        current: str = "",
    ) -> None:
        """One atomic group: what a page gave and the checkpoint change that says so belong in one call.

        ``events`` are ``{"kind": "log" | "coordinates", "data": {…}}`` (for the latter: docs/decisions/0009-boxes.md),
        ``pages`` counts pages visited since the last put, ``left_out`` those of them that could not be had, ``current``
        is the address being worked on.
        """

    def log(self, level: str, message: str, **data: Any) -> None:
        """A log event for people; ``level`` is ``debug``, ``info``, ``warning`` or ``error``."""

    async def drained(self) -> None:
        """Back-pressure: returns when few groups wait. Raises ``fleet.errors.LeaseLost``."""


class Stage(Protocol):
    """Which tab of the slot frames and boxes belong to."""

    def show(self, page: Page, tab: str) -> None:
        """Make ``page`` the stage; ``tab`` is its name in frames and ``coordinates`` events."""

    async def picture(self, page: Page, scroll: tuple[float, float]) -> int:
        """The sequence of a frame of ``page``, scrolled to ``scroll`` (CSS pixels), that came after the question and
        went out; 0 when nobody watches, when another page is on stage, and when none came in time."""

    async def next_picture(self, after: int) -> tuple[int, Page]:
        """The sequence of the newest frame that went out and the page it shows, once it is beyond ``after``: never,
        while nobody watches."""


class Extractor(Protocol):
    """Page text to values, off the event loop. Raises ``errors.VisitFailed`` when a page is too much for it."""

    async def extract(self, html: str, url: str) -> list[Lead]:
        """The businesses the page at ``url`` tells about."""


@dataclass(slots=True)
class UnitControl:
    """What the node asks of a running unit; the runner looks between pages.

    A cancelled unit's task is also cancelled after a grace. ``pausing`` asks for a checkpoint and a
    ``PAUSED`` outcome, which the node may report as ``returned`` when it drains. While somebody has the ``wheel``, no
    page is begun, and the one that is open is read when it was given back.
    """

    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    pausing: asyncio.Event = field(default_factory=asyncio.Event)
    wheel: Wheel = field(default_factory=Wheel)


@dataclass(frozen=True, slots=True)
class Services:
    """What units share. Made once per node; ``dataclasses.replace`` gives a unit its slot's way out.

    ``proxy_url`` is the egress proxy, empty for none; every request of ``http`` is made through it. ``refusal`` says
    why the proxy last refused a host, None when it did not: Chrome hides it for https.
    """

    extractor: Extractor
    politeness: HostPoliteness
    robots: RobotsCache
    http: aiohttp.ClientSession
    proxy_url: str = ""
    refusal: Callable[[str], Category | None] = lambda _host: None


@dataclass(frozen=True, slots=True)
class UnitResult:
    """How a unit ended. ``error`` is a code (see ``errors.py``), ``detail`` a sentence for people."""

    outcome: Outcome
    error: str = ""
    detail: str = ""
    retryable: bool = True
