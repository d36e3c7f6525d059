"""Delivers webhooks: claims what is due, posts it, writes down what became of it.

Every replica does the same. A claim is a due time moved ahead in the store: a replica that dies in the middle of a
delivery leaves it due again a little later, so a webhook is delivered at least once, and now and then twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import traceback
from collections import Counter
from datetime import timedelta
from urllib.parse import urlsplit

import orjson
import structlog

from control_plane import telemetry
from control_plane.scheduling.scripts import Claim, Scripts
from control_plane.scheduling.views import task_status
from control_plane.webhooks import message
from control_plane.webhooks.post import TIMEOUT, Post
from control_plane.webhooks.verdict import Answered, judge
from fleet.clock import Clock
from fleet.errors import StoreUnavailable

LEASE = 3 * TIMEOUT
"""How long a claim lasts: a delivery and the word of it take TIMEOUT and a few seconds at the most."""

TICK = timedelta(seconds=1)
"""How late a webhook may be noticed."""

AT_ONCE = 64
"""Deliveries of one replica that are under way: sockets, and bodies of up to 100 KB."""

A_TENANT = AT_ONCE // 2
"""No tenant takes all of them, however many receivers it names."""

A_RECEIVER = 8
"""A receiver that answers in 50 ms gets 160 a second of these, and one that stalls keeps 56 for others."""

log = structlog.get_logger(__name__)


class Sender:
    """The role; ``tick`` is to be called for ever, ``aclose`` ends what is under way."""

    def __init__(self, scripts: Scripts, post: Post, root: str, clock: Clock) -> None:
        """``root`` is the secret that tenants' signing keys are derived from."""
        self._scripts, self._post, self._root, self._clock = scripts, post, root, clock
        self._under_way: set[asyncio.Task[None]] = set()
        self._held: Counter[str] = Counter()  # deliveries under way, a line and a tenant
        self._room = asyncio.Event()

    async def tick(self) -> None:
        """Starts what is due and returns when something has ended, or TICK has passed."""
        self._room.clear()
        await self.claim()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK.total_seconds()):
                await self._room.wait()

    async def claim(self) -> int:
        """Claims what is due and there is room for, and starts its delivery. Returns how many."""
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return 0
        claims, expired = await self._scripts.webhook_claim(
            LEASE, most=room, a_receiver=A_RECEIVER, a_tenant=A_TENANT, held=self._held
        )
        for task in expired:
            telemetry.WEBHOOKS.labels("expired").inc()
            log.warning("a webhook was given up: its task has expired", task=task)
        for claim in claims:
            self._held.update((claim.line, claim.tenant))
            delivery = asyncio.create_task(self._deliver(claim), name=f"webhook-{claim.task}")
            self._under_way.add(delivery)
            delivery.add_done_callback(functools.partial(self._landed, claim))
        return len(claims)

    async def aclose(self) -> None:
        """Breaks off what is under way: it is due again when its claim ends."""
        for delivery in self._under_way:
            delivery.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._post.aclose()

    async def _deliver(self, claim: Claim) -> None:
        try:
            await self._attempt(claim)
        except StoreUnavailable as exc:
            log.warning("the word of a webhook is lost, it will be sent again", task=claim.task, error=str(exc))
        except Exception as exc:
            # Not the exception's own words: they may hold the URL. The claim ends and the webhook is tried again.
            where = traceback.format_tb(exc.__traceback__)
            log.error("a webhook's delivery failed on our side", task=claim.task, error=type(exc).__name__, where=where)

    def _landed(self, claim: Claim, delivery: asyncio.Task[None]) -> None:
        self._under_way.discard(delivery)
        self._held -= Counter((claim.line, claim.tenant))
        self._room.set()

    async def _attempt(self, claim: Claim) -> None:
        url = orjson.loads(claim.record[b"spec"])["webhook_url"]
        body = message.encode(task_status(claim.task, claim.record, None))
        key = message.signing_key(claim.tenant, self._root)
        answer = await self._post.send(url, message.headers(claim.task, body, key, self._clock.wall()), body)

        failed_before = int(claim.record[b"webhook_attempts"])
        verdict = judge(answer, failed_before, random.random())  # noqa: S311 - spreads load, guards nothing
        status, error = (answer.status, "") if isinstance(answer, Answered) else (None, answer.reason)
        counts = await self._scripts.webhook_settle(
            claim, verdict.outcome, status=status, error=error, delay=verdict.delay
        )
        outcome = verdict.counted if counts else "stale"
        telemetry.WEBHOOKS.labels(outcome).inc()
        given_up = counts and verdict.outcome == "failed"
        say = log.warning if given_up else log.info
        say(
            "a webhook was given up" if given_up else "a webhook was sent",
            task=claim.task,
            tenant=claim.tenant,
            receiver=urlsplit(url).hostname,  # the rest of a URL may hold secrets
            attempt=failed_before + 1,
            outcome=outcome,
            status=status,
            error=error or None,
        )
