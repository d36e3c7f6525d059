"""What stands before the replicas: a load balancer that goes by their readiness and repeats nothing."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from fleet.cancellation import end_all
from infra.stack import probes

PROBE_S = 0.25
ANSWER_S = 30.0
NOBODY_READY_S = 30.0


@dataclass
class Figures:
    """What its clients saw."""

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    """Each in words: an answer of 500 or more, 429, or none at all."""
    longest_s: float = 0.0
    """The slowest answer, the wait for a replica that is ready included."""

    def answered(self, seconds: float) -> None:
        self.longest_s = max(self.longest_s, seconds)


class Balancer:
    """Sends each request to the next replica that is ready, once. Use ``balancing``."""

    def __init__(self, urls: Sequence[str], api_key: str, session: aiohttp.ClientSession) -> None:
        self.figures = Figures()
        self.session = session
        self._urls, self._api_key = urls, api_key
        self._ready = set(urls)
        self._changed = asyncio.Condition()
        self._turns = itertools.count()

    def is_ready(self, url: str) -> bool:
        """Whether requests are sent to the replica at this base address."""
        return url in self._ready

    async def pick(self) -> str:
        """The replica whose turn it is; waits when none is ready, as a balancer's queue does, and then TimeoutError."""
        async with asyncio.timeout(NOBODY_READY_S):
            await self.until(lambda: bool(self._ready))
        ready = [url for url in self._urls if url in self._ready]
        return ready[next(self._turns) % len(ready)]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once ``holds``, which goes by what is ready."""
        async with self._changed:
            await self._changed.wait_for(holds)

    async def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of a good answer; None for a failure, which is written down."""
        self.figures.requests += 1
        began = time.monotonic()
        url = path
        try:
            url = await self.pick() + path
            timeout = aiohttp.ClientTimeout(total=ANSWER_S)
            async with self.session.request(method, url, json=body, headers=headers, timeout=timeout) as answer:
                if answer.status >= 400:
                    self.figures.failed.append(f"{method} {url}: {answer.status} {await answer.text()}")
                    return None
                members = await answer.json()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.figures.failed.append(f"{method} {url}: {error!r}")
            return None
        self.figures.answered(time.monotonic() - began)
        return members

    async def probe(self) -> None:
        """Ask all replicas for their readiness, for ever."""
        while True:
            # at once: a replica that hangs must not keep the news of the others for as long as it is asked
            answers = await asyncio.gather(*(probes.api_ready(url, self._api_key) for url in self._urls))
            self._ready = {url for url, ready in zip(self._urls, answers, strict=True) if ready}
            async with self._changed:
                self._changed.notify_all()
            await asyncio.sleep(PROBE_S)


@contextlib.asynccontextmanager
async def balancing(urls: Sequence[str], api_key: str) -> AsyncIterator[Balancer]:
    """A balancer that probes."""
    headers = {"Authorization": f"Bearer {api_key}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        balancer = Balancer(urls, api_key, session)
        probing = asyncio.create_task(balancer.probe(), name="probe")
        try:
            yield balancer
        finally:
            await end_all([probing])
