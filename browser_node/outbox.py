"""The way out of a node: one writer, one connection, one order.

Units put groups; what has gathered while an append is in flight leaves as one Batch. An append whose reply was lost
is sent again with the same ``seq``, which ingest drops if it had arrived. A unit's end leaves after all of its groups.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import redis
import structlog

from fleet.connect import Store
from fleet.errors import FleetError, LeaseLost
from fleet.messages import Batch, Message, Run, UnitEnd
from fleet.model import Outcome
from leads.model import Lead

BATCH_BYTES = 256_000
"""A batch is applied by one script: larger ones would make other callers of the store wait."""

WAITING_GROUPS = 32
WAITING_BYTES = 1_000_000
"""`UnitOut.drained` waits while more than this is unsent: some seconds of work of a fast unit."""

GROUPS_CAP_BYTES = 16_000_000
"""What a unit may leave unsent that does not wait for `drained`; the heartbeat fences before a sane one fills it."""

RETRY = timedelta(milliseconds=300)

log = structlog.get_logger(__name__)


class OutboxFull(FleetError):
    """A unit puts faster than the store takes and does not wait."""

    def __init__(self, unit: str) -> None:
        super().__init__(f"unit {unit} has more than {GROUPS_CAP_BYTES} bytes unsent: await drained() between pages")


@dataclass(slots=True)
class _Group:
    """One `put`; leaves whole."""

    events: list[dict[str, Any]]
    results: list[dict[str, Any]]
    set: dict[str, str]
    unset: list[str]
    pages: int
    left_out: int
    current: str
    size: int


class UnitWriter:
    """The ``UnitOut`` of one unit under one fence."""

    def __init__(self, order: Run, outbox: Outbox) -> None:
        self.unit, self.fence, self.boot = order.unit, order.fence, order.boot
        self._outbox = outbox
        self._groups: deque[_Group] = deque()
        self._bytes = 0
        self._seq = 0
        self._lost = ""
        self._room = asyncio.Event()
        self._room.set()

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
        """See ``scraping.types.UnitOut``. Raises OutboxFull; drops everything once the lease is lost."""
        if self._lost:
            return
        leads = [lead.model_dump(mode="json", exclude_defaults=True) for lead in results]
        size = len(orjson.dumps((list(events), leads, dict(set), list(unset), current)))
        if self._bytes + size > GROUPS_CAP_BYTES:
            raise OutboxFull(self.unit)
        self._groups.append(_Group(list(events), leads, dict(set), list(unset), pages, left_out, current, size))
        self._bytes += size
        self._update_room()
        self._outbox.queue(self)

    def log(self, level: str, message: str, **data: Any) -> None:
        event = {"level": level, "message": message, "unit": self.unit, **data}
        self.put(events=[{"kind": "log", "data": event}])

    async def drained(self) -> None:
        """Wait until less than `WAITING_GROUPS` are unsent. Raises LeaseLost."""
        await self._room.wait()
        if self._lost:
            raise LeaseLost(self.unit, self.fence, self._lost)

    def end(self, outcome: Outcome, error: str = "", detail: str = "", *, retryable: bool = True) -> None:
        """Append the unit's end behind all of its groups."""
        self._outbox.queue(_End(self, outcome, error[:200], detail[:1000], retryable))

    def abandon(self, reason: str) -> None:
        """The lease is lost: what is unsent is dropped, and whoever waits is told."""
        self._lost = reason
        self._groups.clear()
        self._bytes = 0
        self._room.set()

    @property
    def abandoned(self) -> bool:
        return bool(self._lost)

    def next_seq(self) -> int:
        self._seq += 1
        return self._seq

    def take(self) -> Batch | None:
        """The next batch: as many whole groups as fit, at least one. None when nothing waits."""
        if not self._groups:
            return None
        batch = _Merge()
        while self._groups and (batch.size == 0 or batch.size + self._groups[0].size <= BATCH_BYTES):
            group = self._groups.popleft()
            self._bytes -= group.size
            batch.add(group)
        self._update_room()
        return Batch(
            self.boot, self.unit, self.fence, self.next_seq(), batch.events, batch.results, batch.changed,
            sorted(batch.removed), batch.pages, batch.current, batch.left_out,
        )  # fmt: skip

    @property
    def waiting(self) -> bool:
        return bool(self._groups)

    def _update_room(self) -> None:
        if len(self._groups) < WAITING_GROUPS and self._bytes < WAITING_BYTES:
            self._room.set()
        elif not self._lost:
            self._room.clear()


@dataclass(slots=True)
class _Merge:
    """Groups in order, merged: the last change of a checkpoint field wins."""

    events: list[dict[str, Any]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    pages: int = 0
    left_out: int = 0
    current: str = ""
    size: int = 0

    def add(self, group: _Group) -> None:
        self.events += group.events
        self.results += group.results
        for name in group.unset:
            self.changed.pop(name, None)
            self.removed.add(name)
        for name, value in group.set.items():
            self.changed[name] = value
            self.removed.discard(name)
        self.pages += group.pages
        self.left_out += group.left_out
        self.current = group.current or self.current
        self.size += max(1, group.size)


@dataclass(frozen=True, slots=True)
class _End:
    writer: UnitWriter
    outcome: Outcome
    error: str
    detail: str
    retryable: bool


class Outbox:
    """Appends to the node's ``out`` stream. ``on_ended(unit, fence)`` is called once an end is acknowledged."""

    def __init__(self, client: Store, stream: str, on_ended: Callable[[str, int], None]) -> None:
        self._client, self._stream, self._on_ended = client, stream, on_ended
        self._queue: deque[Message | UnitWriter | _End] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def writer(self, order: Run) -> UnitWriter:
        return UnitWriter(order, self)

    def send(self, message: Message) -> None:
        """Queue a message of the node itself (SlotChange, Goodbye …)."""
        self.queue(message)

    def queue(self, item: Message | UnitWriter | _End) -> None:
        # a writer that already waits in the queue will take along what it was given since
        if not isinstance(item, UnitWriter) or item not in self._queue:
            self._queue.append(item)
        self._idle.clear()
        self._wake.set()

    async def flushed(self) -> None:
        """Wait until everything queued has been acknowledged."""
        await self._idle.wait()

    async def run(self) -> None:
        """Write until cancelled. Raises ``redis.AuthenticationError`` or ``NoPermissionError``: see `node`."""
        while True:
            while not self._queue:
                self._idle.set()
                self._wake.clear()
                await self._wake.wait()
            item = self._queue.popleft()
            if isinstance(item, UnitWriter):
                batch = item.take()
                if item.waiting:
                    self._queue.appendleft(item)  # before whatever came later, the unit's end above all
                if batch is not None:
                    await self._append(batch, item)
            elif isinstance(item, _End):
                await self._append_end(item)
            else:
                await self._append(item, None)

    async def _append_end(self, end: _End) -> None:
        writer = end.writer
        if not writer.abandoned:
            message = UnitEnd(
                writer.boot, writer.unit, writer.fence, writer.next_seq(), end.outcome.value,
                end.error, end.detail, end.retryable,
            )  # fmt: skip
            await self._append(message, writer)
        self._on_ended(writer.unit, writer.fence)

    async def _append(self, message: Message, writer: UnitWriter | None) -> None:
        """Until it is acknowledged, or its unit abandoned."""
        fields = message.to_fields()
        while writer is None or not writer.abandoned:
            try:
                await self._client.xadd(self._stream, fields)
            except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
                raise
            except (redis.RedisError, OSError) as exc:
                log.warning("append_failed", kind=message.KIND, error=str(exc)[:200])
                await asyncio.sleep(RETRY.total_seconds())
            else:
                return
