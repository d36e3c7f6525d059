"""The role: claims what is due, reserves what it may cost, asks, and writes down what came of it.

Every replica does the same. A claim is a due time moved ahead in the store: what a dead replica had in its hands is due
again a little later, and what it learns too late decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import orjson
import structlog
from pydantic import ValidationError

from control_plane import telemetry
from control_plane.enrichment.breaker import Breaker, State
from control_plane.enrichment.endpoint import Endpoint, Failure, Reply
from control_plane.enrichment.terms import Terms, Usage, judge, most_used, really_used
from control_plane.scheduling.scripts import Asked, Scripts, Settled
from fleet.clock import Clock
from fleet.errors import StoreUnavailable
from leads.enrichment import Subject, messages, read_answers, subject_of
from leads.model import Enrichment, Lead

SETTLE = timedelta(seconds=15)
"""Beyond the timeout of a call: to reserve before it and to write down after it, on a store that is slow."""

TICK = timedelta(seconds=1)
"""How late a question may be noticed."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Item:
    asked: Asked
    lead: Lead
    subject: Subject


class Enricher:
    """``tick`` is to be called for ever, ``aclose`` ends what is under way."""

    def __init__(self, scripts: Scripts, endpoint: Endpoint, terms: Terms, breaker: Breaker, clock: Clock) -> None:
        self._scripts, self._endpoint, self._terms = scripts, endpoint, terms
        self._breaker, self._clock = breaker, clock
        self._lease = terms.timeout + SETTLE
        self._under_way: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._trouble = ""
        self._capped = ""

    async def tick(self) -> None:
        """Starts what is due and returns when something has ended, or TICK has passed."""
        self._room.clear()
        await self.claim()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TICK.total_seconds()):
                await self._room.wait()

    async def claim(self) -> int:
        """Claims what is due and there is room for, and starts to ask. Returns the number of batches."""
        now = self._clock.monotonic()
        telemetry.ENRICHMENT_BREAKER.set(self._breaker.state(now))
        room = self._breaker.room(now, len(self._under_way), self._terms.at_once)
        for started in range(max(room, 1)):
            # Without room, the call still drops what has waited too long.
            batch, dropped = await self._scripts.enrichment_claim(self._lease, most=self._terms.batch if room else 0)
            _keep_rules("waited", dropped)
            if not batch:
                return started
            asking = asyncio.create_task(self._settle(batch), name=f"enrichment-{batch[0].tenant}")
            self._under_way.add(asking)
            asking.add_done_callback(self._landed)
        return room

    async def aclose(self) -> None:
        """Breaks off what is under way: it is due again when its claim ends."""
        for asking in self._under_way:
            asking.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._endpoint.aclose()

    def health(self) -> dict[str, str]:
        """``up``, or ``degraded`` while the endpoint is not asked, and why."""
        state = self._breaker.state(self._clock.monotonic())
        if state is State.CLOSED and not self._capped:
            return {"status": "up", "breaker": "closed"}
        detail = self._trouble if state is not State.CLOSED else f"the daily cap of {self._capped} is reached"
        return {
            "status": "degraded",
            "breaker": state.name.lower(),
            "detail": f"{detail}; leads keep the rules' answer",
        }

    def _landed(self, asking: asyncio.Task[None]) -> None:
        self._under_way.discard(asking)
        self._room.set()

    async def _settle(self, batch: Sequence[Asked]) -> None:
        """Ask about a batch of one tenant, and write down what came of it."""
        tenant = batch[0].tenant
        try:
            settled = await self._outcomes(tenant, batch)
            counted = await self._scripts.enrichment_settle(tenant, settled)
        except StoreUnavailable as exc:
            log.warning("what became of questions to the model is lost, they are asked again", error=str(exc))
            return
        except Exception:
            log.exception("leads could not be enriched", tenant=tenant, leads=len(batch))
            return
        stored = Counter(each.outcome if counts else "stale" for each, counts in zip(settled, counted, strict=True))
        for outcome, number in stored.items():
            telemetry.ENRICHMENT_LEADS.labels(outcome).inc(number)
        log.info("leads were enriched", tenant=tenant, **stored)

    async def _outcomes(self, tenant: str, batch: Sequence[Asked]) -> list[Settled]:
        items, broken = _items(batch)
        if not items:
            return broken
        asked = messages({name: item.subject for name, item in items.items()})
        reserved = most_used(sum(len(message["content"].encode()) for message in asked), len(items))
        day, cap = await self._scripts.enrichment_reserve(
            tenant, reserved.tokens, self._cost(reserved), self._terms.caps
        )
        self._note_cap(cap, tenant)
        if cap:
            _keep_rules("capped", len(items))
            return [*broken, *(Settled(item.asked, "dropped") for item in items.values())]
        began = time.perf_counter()
        answer = await self._endpoint.ask(asked, reserved.completion)
        telemetry.ENRICHMENT_SECONDS.observe(time.perf_counter() - began)
        await self._pay(tenant, day, answer, reserved)
        if isinstance(answer, Failure):
            return [*broken, *self._failed(answer, items)]
        return [*broken, *self._answered(answer, items)]

    def _answered(self, reply: Reply, items: Mapping[str, _Item]) -> list[Settled]:
        subjects = {name: item.subject for name, item in items.items()}
        answers = read_answers(
            reply.content, subjects, self._endpoint.model, datetime.fromtimestamp(self._clock.wall(), UTC)
        )
        not_json = len(answers.refused) == len(items) and set(answers.refused.values()) == {"not_json"}
        telemetry.ENRICHMENT_CALLS.labels("malformed" if not_json else "answered").inc()
        if not_json:
            self._note_failure(Failure("malformed", "the model does not answer with the JSON that it was asked for"))
        else:
            self._breaker.succeeded()
        if answers.strangers:
            telemetry.ENRICHMENT_STRANGERS.inc(answers.strangers)
        for reason, number in Counter(answers.refused.values()).items():
            _keep_rules(reason, number)
        return [
            _stored(item, answers.accepted[name]) if name in answers.accepted else Settled(item.asked, "refused")
            for name, item in items.items()
        ]

    def _failed(self, failure: Failure, items: Mapping[str, _Item]) -> list[Settled]:
        telemetry.ENRICHMENT_CALLS.labels(failure.kind).inc()
        self._note_failure(failure)
        settled = []
        for item in items.values():
            verdict = judge(failure, item.asked.attempts, self._terms.retries, random.random())  # noqa: S311 - spreads load
            if verdict.outcome in {"dropped", "refused"}:
                _keep_rules(failure.kind, 1)
            settled.append(Settled(item.asked, verdict.outcome, verdict.delay))
        return settled

    def _note_failure(self, failure: Failure) -> None:
        now = self._clock.monotonic()
        self._trouble = failure.detail
        if failure.retry_after is not None:
            self._breaker.hold(now, failure.retry_after)
        if not self._breaker.failed(now, at_once=failure.kind == "unauthorized"):
            log.info("the model's endpoint failed", kind=failure.kind, detail=failure.detail)
        elif failure.kind == "unauthorized":
            log.error("the model is not asked: see to LEADFLEET_ENRICHMENT_KEY", detail=failure.detail)
        else:
            log.warning("the model is not asked for a while", kind=failure.kind, detail=failure.detail)

    def _note_cap(self, cap: str, tenant: str) -> None:
        # One tenant's cap says nothing about the others: it is not this replica's health.
        fleet_cap = "" if cap == "tenant_tokens" else cap
        if cap and fleet_cap != self._capped:
            log.warning("the model is not asked before tomorrow: a daily cap is reached", cap=cap, tenant=tenant)
        self._capped = fleet_cap

    async def _pay(self, tenant: str, day: str, answer: Reply | Failure, reserved: Usage) -> None:
        """Set right what was reserved."""
        used = really_used(answer, reserved)
        tokens, cost = used.tokens - reserved.tokens, self._cost(used) - self._cost(reserved)
        if tokens or cost:
            await self._scripts.enrichment_correct(tenant, day, tokens, cost)
        telemetry.ENRICHMENT_TOKENS.labels("prompt").inc(used.prompt)
        telemetry.ENRICHMENT_TOKENS.labels("completion").inc(used.completion)
        telemetry.ENRICHMENT_COST.inc(self._cost(used) / 1_000_000)

    def _cost(self, usage: Usage) -> int:
        return self._terms.cost(usage.prompt, usage.completion)


def _items(batch: Sequence[Asked]) -> tuple[dict[str, _Item], list[Settled]]:
    """The questions under ids that no page can know, so that what one page says cannot name another's lead; and those
    whose lead does not parse, which are dropped."""
    items, broken = {}, []
    for asked in batch:
        try:
            lead = Lead.model_validate_json(asked.lead)
        except ValidationError as exc:
            log.warning("a lead that was to be enriched does not parse", question=asked.question, reason=str(exc)[:500])
            broken.append(Settled(asked, "dropped"))
        else:
            items[secrets.token_hex(6)] = _Item(asked, lead, subject_of(lead, lead.lead_objective))
    return items, broken


def _stored(item: _Item, enrichment: Enrichment) -> Settled:
    """The same observation, enriched: the leads table lets it take the place of the one without."""
    lead = item.lead.model_copy(update={"enrichment": enrichment})
    event = {
        "lead_id": lead.lead_id,
        "observation_id": lead.observation_id,
        "enrichment": enrichment.model_dump(mode="json"),
    }
    return Settled(item.asked, "answered", lead=orjson.dumps(lead.model_dump(mode="json")), event=orjson.dumps(event))


def _keep_rules(reason: str, number: int) -> None:
    if number:
        telemetry.ENRICHMENT_FALLBACKS.labels(reason).inc(number)
