"""How many nodes there should be, and which. Pure: what is known goes in, what is to be done comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil

HEADROOM = 1.25
"""Slots a slot in use, before a node is given up: a fleet that ends at what it needs starts a node at the next unit."""

SETTLED = timedelta(minutes=10)
"""A node younger than this is kept: Fargate takes a minute to start one, and units come in bursts."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the control plane knows it. ``leases`` are slots that hold a unit, or have yet to let go of one."""

    name: str
    state: str  # up, draining, down
    leases: int
    age: timedelta


@dataclass(frozen=True, slots=True)
class Work:
    """Units of the whole fleet. ``dispatchable`` may run now and wait for a slot alone; those who wait for their
    tenant's turn, their task's, or a retry are no reason for a node."""

    dispatchable: int
    leased: int


@dataclass(frozen=True, slots=True)
class Plan:
    """``start`` and ``stop`` are services that get one task and none, ``retire`` is a node to be drained first."""

    wanted: int
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    retire: str | None = None


def decide(work: Work, nodes: Sequence[Node], desired: Mapping[str, int], *, least: int, slots: int) -> Plan:
    """What to do now.

    ``desired`` has the desired count of every node's service, ``slots`` is what one node has, ``least`` how many nodes
    there are without any work. A node that was drained is stopped as soon as it holds no lease, whoever drained it.
    """
    known = {node.name: node for node in nodes}
    started = [name for name, count in desired.items() if count]
    drained = [name for name in started if name in known and known[name].state == "draining"]
    serving = [name for name in started if name not in drained and not _is_lost(known.get(name))]
    up = [name for name in serving if name in known and known[name].state == "up"]
    wanted = _wanted(work.leased + work.dispatchable, least, len(desired), slots)
    stop = tuple(name for name in drained if not known[name].leases)
    stopped = [name for name, count in desired.items() if not count]
    start = tuple(stopped[: max(0, wanted - len(serving))])
    kept = _wanted(ceil((work.leased + work.dispatchable) * HEADROOM), least, len(desired), slots)
    retire = None
    if not start and not drained and len(up) > kept and not work.dispatchable:
        retire = _least_missed([known[name] for name in up])
    return Plan(wanted, start, stop, retire)


def backlog_per_slot(work: Work, slots: int) -> float:
    """Units that wait for a slot, a slot there is; a fleet without any counts as one slot."""
    return work.dispatchable / max(1, slots)


def _wanted(units: int, least: int, most: int, slots: int) -> int:
    return min(most, max(least, ceil(units / slots)))


def _is_lost(node: Node | None) -> bool:
    """Whether a node that was there is away for good; one that has never come is waited for."""
    return node is not None and node.state == "down" and node.age >= SETTLED


def _least_missed(nodes: Sequence[Node]) -> str | None:
    """An idle node before one at work, and of those the one with the fewest units; None when all are young."""
    settled = [node for node in nodes if node.age >= SETTLED]
    return min(settled, key=lambda node: (node.leases, node.age, node.name)).name if settled else None
