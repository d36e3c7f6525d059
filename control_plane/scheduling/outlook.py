"""How long what is queued will wait: the dispatcher's rules, played ahead with units of the mean length. Pure.

The rules are those of ``dispatch`` in ``lua/common.lua``: tenants take turns, one runs no more than its ``max_running``
at once, and a task no more than its ``max_parallel``.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

MAX_SAMPLED = 500
"""Busy slots that are looked at; a larger fleet is played with every n-th of them, and an n-th of the units."""

MAX_GRANTS = 2_000
"""Grants that are played, which takes about 5 ms; beyond them the pace of those is what is expected."""

NEW = "(new)"
"""Whom the grant is for that ``until_granted`` waits for."""


@dataclass(frozen=True, slots=True)
class Line:
    """A tenant's units: ``pending`` ones wait, ``queued`` of them because of nothing but their turn.

    ``running + queued`` is therefore what its tasks' ``max_parallel`` let run at once.
    """

    tenant: str
    pending: int
    queued: int
    running: int
    max_running: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """The slots of a label and who waits for them, as of ``now_ms``.

    ``leases`` are (begun in ms, tenant) of ``busy`` slots, in order, all or evenly picked; ``tenants`` stand in the
    order of their turns. ``unit_ms`` is None when no unit has ended yet.
    """

    now_ms: int
    unit_ms: int | None
    free: int
    busy: int
    leases: list[tuple[int, str]]
    tenants: list[Line]

    @property
    def stride(self) -> int:
        return ceil(self.busy / len(self.leases)) if self.leases else 1

    @property
    def unit_s(self) -> float | None:
        """How long a unit takes: the mean, or what the oldest running one has taken so far when there is no mean."""
        if self.unit_ms is not None:
            return self.unit_ms / 1000
        return max((self.now_ms - begun for begun, _ in self.leases), default=0) / 1000 or None


def until_granted(outlook: Outlook, tenant: str) -> float | None:
    """Seconds until a task of one unit that ``tenant`` submits now has a slot; None when nothing tells."""
    return _nth(outlook, 1, tenant, own=NEW)


def until_room(outlook: Outlook, units: int, tenant: str | None = None) -> float | None:
    """Seconds until ``units`` of those that wait have left the queue, of ``tenant`` when one is named."""
    return _nth(outlook, ceil(units / outlook.stride), None, own=tenant)


def _nth(outlook: Outlook, wanted: int, newcomer: str | None, own: str | None) -> float | None:
    """When the ``wanted``-th grant to ``own`` (None: to anybody) happens."""
    counted, own_before, at = 0, 0, 0.0
    for seen, (at, tenant) in enumerate(_grants(outlook, newcomer), start=1):
        counted += own is None or tenant == own
        own_before += tenant == newcomer
        if counted >= wanted:
            return at
        if seen >= MAX_GRANTS:
            break
    else:
        return None  # what is left waits for something else than a slot
    if newcomer is not None:
        before = next((-(-line.pending // outlook.stride) for line in outlook.tenants if line.tenant == newcomer), 0)
        return at * (before + 1) / max(1, own_before)
    return at * wanted / counted if counted else None


def _grants(outlook: Outlook, newcomer: str | None) -> Iterator[tuple[float, str]]:
    """(seconds from now, tenant) of each grant, in order, until nothing is left that slots could be given to."""
    unit_s, stride = outlook.unit_s, outlook.stride
    ends = [
        (max(0.0, (begun - outlook.now_ms) / 1000 + (unit_s or 0)), number, tenant)
        for number, (begun, tenant) in enumerate(outlook.leases)
    ]
    heapq.heapify(ends)
    free, now, turn = ceil(outlook.free / stride), 0.0, len(outlook.tenants)
    number = len(ends)
    lines = {line.tenant: _Playing.of(line, stride, one_more=line.tenant == newcomer) for line in outlook.tenants}
    ring = [(place, line.tenant) for place, line in enumerate(outlook.tenants)]  # ordered, hence a heap
    idle: set[str] = set()
    while True:
        while free and ring:
            _, tenant = heapq.heappop(ring)
            whose = lines[tenant].take()
            if whose is None:
                idle.add(tenant)
                continue
            yield now, NEW if whose else tenant
            free -= 1
            number += 1
            turn += 1
            heapq.heappush(ring, (turn, tenant))
            heapq.heappush(ends, (now + (unit_s or 0), number, tenant))
        if not ends or unit_s is None:
            return
        now, _, tenant = heapq.heappop(ends)
        free += 1
        if tenant in lines:
            lines[tenant].running -= 1
            if tenant in idle:
                idle.discard(tenant)
                turn += 1
                heapq.heappush(ring, (turn, tenant))


@dataclass(slots=True)
class _Playing:
    """A tenant while the future is played."""

    pending: int
    running: int
    at_once: int
    max_running: int
    one_more: bool

    @classmethod
    def of(cls, line: Line, stride: int, *, one_more: bool) -> _Playing:
        pending, queued, running, most = (
            ceil(number / stride) for number in (line.pending, line.queued, line.running, line.max_running)
        )
        return cls(pending, running, running + queued, most, one_more)

    def take(self) -> bool | None:
        """Let the next unit run: True for the newcomer's, False for another, None when there is none that may."""
        if self.running >= self.max_running:
            return None
        if self.pending > 0 and self.running < self.at_once:
            self.pending -= 1
            self.running += 1
            return False
        if self.one_more:
            self.one_more = False
            self.running += 1
            return True
        return None
