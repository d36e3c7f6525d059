"""The scheduling scripts and their only callers.

Each ``lua/<name>.lua`` is one state change and says in its header what it takes and returns; the method of the same
name here is its typed signature. In front of each script stand the key functions (from ``fleet.keys``) and
``lua/common.lua``. Errors of the store surface as ``StoreUnavailable``. No script touches a store of another
layout: ``SchemaMismatch``.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from control_plane.scheduling.limits import Limits
from control_plane.scheduling.outlook import MAX_SAMPLED, Line, Outlook
from fleet import model
from fleet.connect import Store
from fleet.errors import SchemaMismatch, StoreUnavailable
from fleet.keys import SCHEMA_VERSION, Keys, lua_keys
from fleet.messages import Batch, Goodbye, Heartbeat, Register, SlotChange, UnitEnd

ANY = "any"
"""The label every slot has, and the one a task asks for when it asks for none."""

ANOTHER_SCHEMA = "SCHEMA "
"""How the error of ``common.lua`` begins that names the schema of a store with another layout."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task as it is submitted; ``units`` are (platform, query) pairs, 0 means no limit."""

    tenant: str
    task: str
    units: Sequence[tuple[str, str]]
    options: str
    spec: str
    label: str = ANY
    priority: int = 5
    max_parallel: int = 2
    max_results: int = 0
    timeout_ms: int = 0
    queue_timeout_ms: int = 0
    idempotency: str = ""
    body: str = ""
    webhook_line: str = ""  # "tenant|receiver" when the task's end is to be told


@dataclass(frozen=True, slots=True)
class Submitted:
    """The task is in the store; ``task`` is an older one when the request was a repetition."""

    task: str
    used: int
    limit: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """``reason``: ``mismatch`` (idempotency key with another body), ``queue_full``, ``tenant_queue_full``
    (``used`` of ``limit`` units wait) or ``quota`` (``retry_after`` seconds until the next day)."""

    reason: str
    used: int = 0
    limit: int = 0
    retry_after: int = 0


@dataclass(frozen=True, slots=True)
class Control:
    """Answer to stop, pause, resume: ``verdict`` is ``ok``, ``unknown`` or ``terminal``; ``state`` the task's."""

    verdict: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A lead as ingest stores it: JSON without its ``lead_id``, which the script puts in front.

    ``question`` is what a model is to be asked about it, if any.
    """

    observation_id: str
    lead_id: str
    identifiers: Sequence[str]
    lead: bytes
    question: Question | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a lead is to a model: the ``digest`` of its facts, their ``weight`` (fuller ones are preferred)."""

    digest: str
    weight: int
    objective: str | None


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one call did; ``more`` when it came to one of its bounds and another call has work at once."""

    nodes: int
    retries: int
    deadlines: int
    more: int = 0


@dataclass(frozen=True, slots=True)
class Announced:
    """What a replica is told: the store's ``epoch``, whether it ``began`` with this call, the ``mark`` (ms) to come
    with the next time, and the replicas that live."""

    epoch: str
    began: bool
    mark: int
    replicas: frozenset[str]


@dataclass(frozen=True, slots=True)
class Claim:
    """A webhook that is ours until its lease ends. ``record`` is the task's hash as it was then."""

    task: str
    record: dict[bytes, bytes]

    @property
    def number(self) -> int:
        """Which claim of this webhook it is; a later one takes it away."""
        return int(self.record[b"webhook_claim"])

    @property
    def tenant(self) -> str:
        return self.record[b"tenant"].decode()

    @property
    def line(self) -> str:
        return self.record[b"webhook_line"].decode()


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to the model that is ours until its lease ends; ``record`` as it was then."""

    tenant: str
    question: str
    record: dict[bytes, bytes]

    @property
    def number(self) -> int:
        """Which claim of this question it is; a later one takes it away."""
        return int(self.record[b"claim"])

    @property
    def attempts(self) -> int:
        """Those that failed before."""
        return int(self.record[b"attempts"])

    @property
    def lead(self) -> bytes:
        """The Lead as JSON."""
        return self.record[b"lead"]


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a question; see ``enrichment_settle.lua``. ``lead`` and ``event`` are JSON, of an answer only."""

    asked: Asked
    outcome: str
    delay: timedelta = timedelta(0)
    lead: bytes = b""
    event: bytes = b""


@dataclass(frozen=True, slots=True)
class Caps:
    """Of a UTC day: tokens of the fleet and of a tenant, cost of the fleet in millionths (0: no such cap)."""

    tokens: int
    tenant_tokens: int
    cost: int


class Scripts:
    """All state changes of a fleet. ``sources`` are the texts of the scripts by name."""

    def __init__(self, client: Store, keys: Keys, limits: Limits, *, sources: Mapping[str, str] | None = None) -> None:
        self._client, self._keys = client, keys
        self.limits = limits
        self._limits = json.dumps(dataclasses.asdict(limits))
        self._sources = script_sources() if sources is None else sources
        self._shas: dict[str, str] = {}

    async def submit(self, new: NewTask) -> Submitted | Refused:
        units = [part for pair in new.units for part in pair]
        reply = await self._call(
            "submit", new.tenant, new.task, new.label, new.priority, new.max_parallel, new.max_results, new.timeout_ms,
            new.queue_timeout_ms, new.options, new.spec, new.idempotency, new.body, new.webhook_line, *units,
        )  # fmt: skip
        verdict = reply[0].decode()
        if verdict in {"ok", "replayed"}:
            return Submitted(reply[1].decode(), int(reply[2]), int(reply[3]), replayed=verdict == "replayed")
        if verdict == "quota":
            return Refused("quota", used=int(reply[1]), limit=int(reply[2]), retry_after=int(reply[3]))
        return Refused(verdict, *map(int, reply[1:]))

    async def outlook(self, tenant: str, label: str = ANY) -> Outlook:
        """What the waits of ``label`` are estimated from, ``tenant``'s above all."""
        now, mean, free, busy, sampled, waiting = await self._call("outlook", label, tenant, MAX_SAMPLED)
        return Outlook(
            now_ms=int(now),
            unit_ms=int(mean) if mean else None,
            free=int(free),
            busy=int(busy),
            leases=[(int(float(at)), who.decode()) for at, who in zip(sampled[::2], sampled[1::2], strict=True)],
            tenants=[
                Line(who.decode(), *map(int, numbers))
                for who, *numbers in (waiting[at : at + 5] for at in range(0, len(waiting), 5))
            ],
        )

    async def position(self, tenant: str, task: str) -> int | None:
        """Units ahead of the task's next unit, None when none of its units is queued."""
        ahead = int(await self._call("position", tenant, task))
        return None if ahead < 0 else ahead

    async def stop(self, tenant: str, task: str) -> Control:
        return _control(await self._call("stop", tenant, task))

    async def pause(self, tenant: str, task: str) -> Control:
        return _control(await self._call("pause", tenant, task))

    async def resume(self, tenant: str, task: str) -> Control:
        return _control(await self._call("resume", tenant, task))

    async def announce(self, replica: str, known: str, mark: int, candidate: str, ttl: timedelta) -> Announced:
        """Say that a replica lives, which knows the epoch ``known`` and was told ``mark`` the last time."""
        epoch, began, told, *replicas = await self._call(
            "announce", replica, known, mark, candidate, ttl // timedelta(milliseconds=1)
        )
        return Announced(_text(epoch), began == b"1", int(told), frozenset(map(_text, replicas)))

    async def join(self, node: str, password_sha256: str, cursor: str) -> bool:
        """Whether the node may come in; False when somebody else holds its name.

        An empty hash stands for a user that is there beforehand: the server itself tells nodes apart.
        """
        return bool(await self._call("join", node, password_sha256, cursor) == b"ok")

    async def disown(self, node: str) -> None:
        """Know nothing of the node's present life any more: it is told so at its next sign of life."""
        await self._call("disown", node)

    async def register(self, node: str, entry: str, message: Register, egress_key: str = "") -> str:
        """``egress_key`` is told to the node, and nobody else can read it there."""
        labels = ",".join(dict.fromkeys([ANY, *map(str, message.labels)]))
        slots = [part for slot in message.slots for part in (slot["index"], slot["port"])]
        return _text(await self._call(
            "register", node, entry, message.boot, message.address, message.relay, labels, message.version,
            message.browser, message.sandbox, egress_key, *slots,
        ))  # fmt: skip

    async def heartbeat(self, node: str, entry: str, message: Heartbeat) -> str:
        live = [part for pair in message.live.items() for part in pair]
        return _text(await self._call(
            "heartbeat", node, entry, message.boot, message.commands_seen, int(message.draining),
            json.dumps(message.load), *live,
        ))  # fmt: skip

    async def ingest(self, node: str, entry: str, batch: Batch, events: Sequence[tuple[str, bytes]],
                     results: Sequence[Result], *, opt_outs: int = 0,
                     withheld: int = 0) -> tuple[str, int]:  # fmt: skip
        """``(verdict, results accepted)``; events and results are the batch's, checked and encoded.

        ``opt_outs`` is the version of the tenant's list that they were checked against: with another one nothing is
        applied and the verdict is ``outdated``. ``withheld`` leads are counted.
        """
        changes: Mapping[str, Any] = batch.set
        reply = await self._call(
            "ingest", node, entry, batch.boot, batch.unit, batch.fence, batch.seq, batch.pages, batch.left_out,
            batch.current, len(events), len(results), len(changes), len(batch.unset),
            opt_outs, withheld,
            *(part for event in events for part in event),
            *(part for r in results
              for part in (r.observation_id, r.lead_id, "\n".join(r.identifiers), r.lead, *_question(r.question))),
            *(part for pair in changes.items() for part in pair),
            *batch.unset,
        )  # fmt: skip
        return reply[0].decode(), int(reply[1]) if len(reply) > 1 else 0

    async def unit_end(self, node: str, entry: str, message: UnitEnd) -> str:
        return _text(await self._call(
            "unit_end", node, entry, message.boot, message.unit, message.fence, message.seq, message.outcome,
            message.error, message.detail, int(message.retryable),
        ))  # fmt: skip

    async def slot_change(self, node: str, entry: str, message: SlotChange) -> str:
        chrome = "ok" if message.state == model.SlotState.FREE else "broken"
        return _text(await self._call("slot_change", node, entry, message.boot, message.slot, chrome, message.port))

    async def goodbye(self, node: str, entry: str, message: Goodbye) -> str:
        return _text(await self._call("goodbye", node, entry, message.boot, message.reason))

    async def skip(self, node: str, entry: str) -> str:
        return _text(await self._call("skip", node, entry))

    async def drain(self, node: str) -> str:
        return _text(await self._call("drain", node))

    async def reap(self) -> Reaped:
        return Reaped(*map(int, await self._call("reap")))

    async def webhook_claim(
        self, lease: timedelta, *, most: int, a_receiver: int, a_tenant: int, held: Mapping[str, int]
    ) -> tuple[list[Claim], list[str]]:
        """Webhooks that were due and are ours now, and the tasks that expired before theirs was delivered.

        ``held``: how many we have in our hands, a line and a tenant; never more than ``a_receiver`` and ``a_tenant``.
        """
        reply = await self._call(
            "webhook_claim", lease // timedelta(milliseconds=1), most, a_receiver, a_tenant,
            *(part for pair in held.items() for part in pair),
        )  # fmt: skip
        claimed, expired = reply
        claims = [Claim(task.decode(), dict(zip(flat[::2], flat[1::2], strict=True))) for task, flat in claimed]
        return claims, [task.decode() for task in expired]

    async def webhook_settle(
        self, claim: Claim, outcome: str, *, status: int | None, error: str, delay: timedelta
    ) -> bool:
        """Whether it counted; False when the webhook was not ours any more. ``delay`` is that of a ``retry``."""
        reply = await self._call(
            "webhook_settle", claim.task, claim.number, outcome, "" if status is None else status, error,
            delay // timedelta(milliseconds=1),
        )  # fmt: skip
        return bool(reply == b"ok")

    async def enrichment_claim(self, lease: timedelta, *, most: int) -> tuple[list[Asked], int]:
        """Questions of one tenant that were due and are ours now, and how many had waited too long and were dropped."""
        tenant, claimed, dropped = await self._call("enrichment_claim", lease // timedelta(milliseconds=1), most)
        asked = [
            Asked(tenant.decode(), question.decode(), dict(zip(flat[::2], flat[1::2], strict=True)))
            for question, flat in claimed
        ]
        return asked, int(dropped)

    async def enrichment_settle(self, tenant: str, settled: Sequence[Settled]) -> list[bool]:
        """Which counted; False where a question was not ours any more."""
        reply = await self._call(
            "enrichment_settle", tenant,
            *(part for each in settled
              for part in (each.asked.question, each.asked.number, each.outcome,
                           each.delay // timedelta(milliseconds=1), each.lead, each.event)),
        )  # fmt: skip
        return [verdict == b"ok" for verdict in reply]

    async def enrichment_reserve(self, tenant: str, tokens: int, cost: int, caps: Caps) -> tuple[str, str]:
        """``(day, "")`` when the tokens and their cost are paid for, ``("", cap)`` when a cap is reached."""
        reply = await self._call(
            "enrichment_spend", tenant, "", tokens, cost, caps.tokens, caps.tenant_tokens, caps.cost
        )
        return _text(reply[0]), "" if len(reply) == 1 else _text(reply[1])

    async def enrichment_correct(self, tenant: str, day: str, tokens: int, cost: int) -> None:
        """Add to what was paid for on a day, or take away from it."""
        await self._call("enrichment_spend", tenant, day, tokens, cost, 0, 0, 0)

    async def _call(self, script: str, *args: str | bytes | int) -> Any:
        """One EVALSHA; a store that forgot its scripts is told again."""
        try:
            sha = self._shas.get(script)
            if sha is None:
                sha = self._shas[script] = await self._client.script_load(self._sources[script])
            try:
                return await self._client.evalsha(sha, 1, self._keys.root, self._limits, *args)
            except NoScriptError:
                return await self._client.eval(self._sources[script], 1, self._keys.root, self._limits, *args)
        except (RedisError, OSError) as exc:
            if str(exc).startswith(ANOTHER_SCHEMA):
                raise SchemaMismatch(str(exc).removeprefix(ANOTHER_SCHEMA), SCHEMA_VERSION) from exc
            raise StoreUnavailable(f"run {script}", exc) from exc


def _question(question: Question | None) -> tuple[str | int, ...]:
    return ("", 0, "") if question is None else (question.digest, question.weight, question.objective or "")


def script_sources() -> dict[str, str]:
    """The whole text of each script by its name: the key functions, ``common.lua``, and what is its own."""
    folder = importlib.resources.files(__package__) / "lua"
    texts = {f.name.removesuffix(".lua"): f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".lua")}
    shared = f"local R, SCHEMA = KEYS[1], '{SCHEMA_VERSION}'\n{lua_keys()}\n{texts.pop('common')}"
    return {name: f"{shared}\n{text}" for name, text in texts.items()}


def _control(reply: list[bytes]) -> Control:
    return Control(*(part.decode() for part in reply))


def _text(reply: bytes) -> str:
    return reply.decode()
