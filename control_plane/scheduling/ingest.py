"""From a node's ``out`` stream into the state of the fleet, each entry once and in order.

Replicas read from the cursor in the store and apply entry by entry; the script that applies an entry moves the
cursor with it. Nothing a node says is trusted: messages are parsed with bounds, events and leads are rebuilt from
known fields, and identity is minted here, because only this side knows tenants.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import structlog
from pydantic import ValidationError

from control_plane.erasure.registry import Registry
from control_plane.erasure.withholding import withhold
from control_plane.scheduling.presence import Presence
from control_plane.scheduling.scripts import Question, Result, Scripts
from fleet import credentials, ids, messages
from fleet.connect import Store
from fleet.errors import BadMessage, BadName
from fleet.keys import Keys
from fleet.messages import Batch, Fields, Goodbye, Heartbeat, Message, Register, SlotChange, UnitEnd
from fleet.model import Outcome
from leads.enrichment import by_rules, digest_of, subject_of
from leads.identity import identifiers, lead_id, observation_id
from leads.model import Lead, Validation
from leads.score import known_objective, score

BLOCK = timedelta(seconds=1)
"""How long one read waits; also how soon a new node or another share of nodes is noticed."""

PAUSE_A_STREAM = timedelta(microseconds=10)
"""How long to wait after a read, by the number of streams in it: reading 2,000 streams costs the store and this process
some ms whether one of them has an entry or all, so it is done 30 times a second and not 300 times."""

READ_COUNT = 100
"""Entries a stream and read: a node that floods does not starve the others."""

MAX_EVENTS, MAX_EVENT_BYTES, MAX_RESULTS = 500, 64_000, 500
"""What one batch may hold. An agent's own batches stay far below."""

MAX_SLOTS = 256

LEVELS = frozenset({"debug", "info", "warning", "error"})
NODE_EVENTS = frozenset({"log", "coordinates"})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What never changes about a unit, and a node does not say."""

    tenant: str
    platform: str
    query: str
    phone_only: bool
    objective: str | None


class Ingest:
    """Reads the join stream and the streams of this replica's share of the nodes."""

    def __init__(
        self,
        client: Store,
        blocking: Store,
        keys: Keys,
        scripts: Scripts,
        presence: Presence,
        registry: Registry,
        *,
        enrich: bool,
        egress_secret: str = "",
    ) -> None:
        """``enrich``: leads get the rules' enrichment, and a model is owed a question about them. ``egress_secret`` is
        that of the egress proxy, which nodes get their keys from."""
        self._client, self._blocking, self._keys, self._scripts = client, blocking, keys, scripts
        self._presence, self._registry, self._enrich = presence, registry, enrich
        self._egress_secret = egress_secret
        self._admittance = presence.admittance
        self._facts: dict[str, UnitFacts] = {}
        self._nodes: dict[bytes, str] = {}
        self._cursors: dict[bytes, str] = {}
        self._shared_at = -math.inf

    async def tick(self) -> None:
        """One read and the application of what it gave."""
        if time.monotonic() - self._shared_at > BLOCK.total_seconds():
            await self._share()
        shared_at, self._shared_at = self._shared_at, -math.inf  # read anew, unless all goes well
        join = self._keys.join().encode()
        streams = self._cursors | {join: await self._admittance.cursor()}
        block = BLOCK // timedelta(milliseconds=1)
        found = await self._blocking.xread(streams, count=READ_COUNT, block=block) or ()
        for stream, entries in found:
            for raw, fields in entries:
                if stream == join:
                    await self._admittance.apply(raw.decode(), fields)
                else:
                    await self.apply(self._nodes[stream], raw.decode(), fields)
                    self._cursors[stream] = raw.decode()
        if all(stream != join for stream, _ in found):
            self._shared_at = shared_at
        # A read names all streams of the share: what has come in meanwhile comes with the next one.
        await asyncio.sleep(len(streams) * PAUSE_A_STREAM.total_seconds())

    async def apply(self, node: str, entry: str, fields: Fields) -> str:
        """The verdict of the script: ``ok``, ``applied`` (by another replica), ``stale``, ``refused``, ``repeated``;
        or ``malformed``."""
        try:
            message = messages.parse(fields, messages.OUT)
            return await self._apply(node, entry, message)
        except (BadMessage, BadName) as exc:
            log.warning("an entry of a node does not parse", node=node, entry=entry, error=str(exc))
            await self._scripts.skip(node, entry)
            return "malformed"

    async def _apply(self, node: str, entry: str, message: Message) -> str:
        match message:
            case Batch():
                return await self._batch(node, entry, message)
            case UnitEnd():
                ids.split_unit_id(message.unit)
                if message.outcome not in set(Outcome):
                    raise BadMessage("unit_end", "outcome", message.outcome)
                return await self._scripts.unit_end(node, entry, message)
            case Heartbeat():
                return await self._scripts.heartbeat(node, entry, _checked_heartbeat(message))
            case Register():
                log.info("a node registers", node=node, boot=message.boot, slots=len(message.slots))
                key = credentials.node_key(self._egress_secret, node) if self._egress_secret else ""
                return await self._scripts.register(node, entry, _checked_registration(message), key)
            case SlotChange():
                return await self._scripts.slot_change(node, entry, message)
            case Goodbye():
                log.info("a node leaves", node=node, reason=message.reason[:200])
                return await self._scripts.goodbye(node, entry, message)
            case _:
                raise BadMessage(message.KIND, "k", "not said on this stream")

    async def _batch(self, node: str, entry: str, batch: Batch) -> str:
        if not all(isinstance(value, str) for value in batch.set.values()) or min(batch.pages, batch.left_out) < 0:
            raise BadMessage("batch", "set", batch.set)
        if not all(isinstance(name, str) for name in batch.unset):
            raise BadMessage("batch", "unset", batch.unset)
        facts = await self._facts_of(batch.unit)
        if facts is None:
            events = checked_events(batch.unit, batch.events)
            return (await self._scripts.ingest(node, entry, batch, events, []))[0]
        listed = await self._registry.known(facts.tenant)
        while True:
            permitted, withheld = withhold(batch, facts.tenant, listed)
            verdict, _ = await self._scripts.ingest(
                node,
                entry,
                permitted,
                checked_events(batch.unit, permitted.events),
                checked_results(permitted, facts, entry, enrich=self._enrich),
                opt_outs=listed.version,
                withheld=withheld,
            )
            if verdict != "outdated":
                return verdict
            listed = await self._registry.newest(facts.tenant)

    async def _facts_of(self, unit: str) -> UnitFacts | None:
        known = self._facts.get(unit)
        if known is not None:
            return known
        task, _ = ids.split_unit_id(unit)
        tenant, options = await self._client.hmget(self._keys.task(task), "tenant", "options")
        platform, query = await self._client.hmget(self._keys.unit(unit), "platform", "query")
        if tenant is None or platform is None:
            return None
        if len(self._facts) >= 10_000:  # a few MB; they are read again at once
            self._facts.clear()
        asked = orjson.loads(options)
        facts = UnitFacts(
            tenant.decode(),
            platform.decode(),
            query.decode(),
            bool(asked.get("phone_only")),
            asked.get("lead_objective"),
        )
        self._facts[unit] = facts
        return facts

    async def _share(self) -> None:
        """This replica's nodes and where each was read up to; between two such readings it knows that by itself."""
        self._shared_at = time.monotonic()
        known = [raw.decode() for raw in await self._client.zrange(self._keys.known(), 0, -1)]
        mine = [node for node in known if self._presence.mine(node)]
        async with self._client.pipeline(transaction=False) as pipe:
            for node in mine:
                pipe.hget(self._keys.node(node), "cursor")
            cursors = await pipe.execute() if mine else []
        self._nodes = {self._keys.out(node).encode(): node for node in mine}
        self._cursors = {s: (cursor or b"0-0").decode() for s, cursor in zip(self._nodes, cursors, strict=True)}


def checked_events(unit: str, events: Sequence[Any]) -> list[tuple[str, bytes]]:
    """The events of a batch that a node may tell, as (kind, JSON). BadMessage when they are none."""
    checked = []
    for event in events[:MAX_EVENTS]:
        if not isinstance(event, dict) or event.get("kind") not in NODE_EVENTS:
            raise BadMessage("batch", "events", event)
        data = event.get("data")
        if not isinstance(data, dict):
            raise BadMessage("batch", "events", data)
        if event["kind"] == "log":
            data = data | {
                "message": str(data.get("message", ""))[:1_000],
                "level": data["level"] if data.get("level") in LEVELS else "info",
            }
        encoded = _json(data | {"unit": unit})
        if len(encoded) > MAX_EVENT_BYTES:
            raise BadMessage("batch", "events", f"{len(encoded)} bytes")
        checked.append((event["kind"], encoded))
    return checked


def checked_results(batch: Batch, facts: UnitFacts, entry: str, *, enrich: bool = False) -> list[Result]:
    """The leads of a batch with their identity, as far as they are leads and the task wants them.

    ``found_at`` is the time of the entry, so that replicas that race make the same bytes.
    """
    position = ids.stream_position(entry)
    assert position is not None
    found_at = datetime.fromtimestamp(position[0] / 1000, UTC)
    task, _ = ids.split_unit_id(batch.unit)
    results = []
    for raw in batch.results[:MAX_RESULTS]:
        try:
            lead = Lead.model_validate(raw)
        except ValidationError as exc:
            raise BadMessage("batch", "results", exc.errors(include_url=False)[:1]) from exc
        lead = lead.model_copy(
            update={"task_id": task, "platform": facts.platform, "query": facts.query, "found_at": found_at,
                    "first_seen_at": found_at, "last_seen_at": found_at}
        )  # fmt: skip
        if facts.phone_only and not any(p.validation_status == Validation.VALID for p in lead.phones):
            continue
        points, band, reasons = score(lead, facts.objective)
        lead = lead.model_copy(
            update={
                "observation_id": observation_id(task, lead),
                "score": points,
                "score_band": band,
                "score_reasons": reasons,
                "lead_objective": known_objective(facts.objective),
                "enrichment": by_rules(lead, facts.objective, found_at) if enrich else None,
            }
        )
        results.append(
            Result(
                observation_id=lead.observation_id or "",
                lead_id=lead_id(facts.tenant, lead),
                identifiers=task_identifiers(lead),
                lead=_json(lead.model_dump(mode="json", exclude={"lead_id"})),
                question=_question(lead) if enrich else None,
            )
        )
    return results


def _question(lead: Lead) -> Question | None:
    """What a model is asked about a lead; nothing where there is nothing to go by."""
    subject = subject_of(lead, lead.lead_objective)
    if not subject.facts.keys() & {"name", "categories", "description"}:
        return None
    return Question(digest_of(subject), subject.weight, subject.objective)


def task_identifiers(lead: Lead) -> list[str]:
    """What makes two observations of one task the same lead before the leads table decides for good.

    A phone does. A domain only for a lead without a phone: branches share a domain. ``?`` marks what a lead with
    a phone may adopt (see ``ingest.lua``).
    """
    found = [(kind, value.replace("\n", " ")) for kind, value in identifiers(lead)]
    phones = [f"{kind}:{value}" for kind, value in found if kind == "phone"]
    domains = [f"{kind}:{value}" for kind, value in found if kind == "domain"]
    if phones:
        return phones + [f"?{domain}" for domain in domains]
    return domains or [f"{kind}:{value}" for kind, value in found[:1]]


def _checked_heartbeat(message: Heartbeat) -> Heartbeat:
    for unit, fence in message.live.items():
        ids.split_unit_id(unit)
        if not isinstance(fence, int):
            raise BadMessage("heartbeat", "live", fence)
    if len(message.live) > MAX_SLOTS or ids.stream_position(message.commands_seen) is None:
        raise BadMessage("heartbeat", "commands_seen", message.commands_seen)
    return message


def _checked_registration(message: Register) -> Register:
    indexes = [slot.get("index") for slot in message.slots if isinstance(slot, dict)]
    well_formed = all(isinstance(i, int) and 0 <= i < MAX_SLOTS for i in indexes)
    ports = [slot.get("port") for slot in message.slots if isinstance(slot, dict)]
    if len(set(indexes)) != len(message.slots) or not well_formed or not all(isinstance(p, int) for p in ports):
        raise BadMessage("register", "slots", message.slots)
    for label in message.labels:
        ids.name("label", str(label))
    return message


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as exc:  # a lone surrogate, an integer past 64 bits
        raise BadMessage("batch", "json", str(exc)) from exc
