"""``python -m tests.fakes.chromeless_node``: the real agent, whose slots hold no Chrome.

Membership, session, heartbeat, outbox, drain and egress proxy are those of the product. Pages are fetched through the
proxy and not rendered; each of them is a lead with the phone number that stands in its ``tel:`` link. For tests in
which the store, not the browser, is what fails: such a node is up at once and costs next to nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urljoin

import aiohttp
import structlog
import uvloop

from browser_node.__main__ import _log_as_json
from browser_node.chrome_binary import ChromeBinary
from browser_node.node import Node
from browser_node.pool import Lane, Pool
from browser_node.scraping.types import Services, Stage, UnitControl, UnitOut, UnitResult
from browser_node.settings import Settings
from fleet.messages import Run
from fleet.model import Outcome
from leads.model import Lead, Phone, Validation

DONE = "done"
"""Field of the checkpoint: the pages that are through."""


class NoChrome:
    """A slot (``pool.Slot``) that is always warm."""

    port = 1

    def __init__(self, index: int) -> None:
        self.index = index

    async def warm(self) -> None: ...

    async def lend(self) -> Lane:
        return Lane(cast("Any", None))

    async def due(self) -> bool:
        return False

    def give_back(self, lane: Lane) -> None: ...

    def kill(self) -> None: ...


class NoChromes:
    """A ``pool.Pool`` of them."""

    def __init__(self, count: int) -> None:
        self.slots = [NoChrome(index) for index in range(count)]

    def start(self) -> None: ...

    async def stop(self) -> None: ...


class ChromelessNode(Node):
    """A node whose pool needs nothing."""

    def _pool(self, state: Path, proxies: Sequence[str]) -> Pool:
        return cast("Pool", NoChromes(self._settings.slots))


@contextlib.asynccontextmanager
async def services(is_ours: Callable[[str], bool]) -> AsyncIterator[Services]:
    async with aiohttp.ClientSession() as http:
        nothing = cast("Any", None)
        yield Services(nothing, nothing, nothing, http)


async def run_unit(
    order: Run, _context: Any, out: UnitOut, _stage: Stage, services: Services, control: UnitControl
) -> UnitResult:
    """All pages that the home page links to, one after the other, each with its checkpoint."""
    done = [url for url in str(order.checkpoint.get(DONE, "")).split("\n") if url]
    home = await _fetch(services, order.query)
    for path in ["/", *re.findall(r'href="(/[^"]+)"', home)]:
        url = urljoin(order.query, path)
        if url in done:
            continue
        if control.pausing.is_set() or control.cancelled.is_set():
            return UnitResult(Outcome.PAUSED)
        html = home if path == "/" else await _fetch(services, url)
        done.append(url)
        out.put(results=_leads(html, url), set={DONE: "\n".join(done)}, pages=1, current=url)
        await out.drained()
    return UnitResult(Outcome.COMPLETED)


async def _fetch(services: Services, url: str) -> str:
    async with services.http.get(url, proxy=services.proxy_url) as answer:
        answer.raise_for_status()
        return await answer.text()


def _leads(html: str, url: str) -> list[Lead]:
    numbers = re.findall(r'href="tel:([^"]+)"', html)
    return [
        Lead(
            display_name=f"{url} {number}",
            phones=[Phone(raw=number, normalized_e164=number.replace(" ", ""), validation_status=Validation.VALID)],
            source_url=url,
        )
        for number in numbers
    ]


async def _run() -> int:
    settings = Settings.from_environment(os.environ)
    _log_as_json(settings.log_level)
    structlog.contextvars.bind_contextvars(node=settings.node_id)
    node = ChromelessNode(settings, ChromeBinary(Path(sys.executable), "tests"), run_unit, services)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, node.leave)
    await node.run()
    return 0


if __name__ == "__main__":
    sys.exit(uvloop.run(_run()))
