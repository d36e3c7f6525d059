"""How many nodes there should be, and which. Pure: what is known goes in, what is to be done comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, inf

HEADROOM = 1.25
"""Slots a slot in use, before a node is given up: a fleet that ends at what it needs starts a node at the next unit."""

SETTLED = timedelta(minutes=10)
"""A node younger than this is kept: Fargate takes a minute to start one, and units come in bursts."""

PATIENCE = timedelta(minutes=10)
"""A service that has been without its node for so long is given up: ECS takes one to three minutes to start a task, and
tries again by itself. What has failed for longer has a wrong image or secret, or a store that refuses it."""


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
    """``start`` and ``stop`` are services that get one task and none, ``retire`` is a node to be drained first.

    ``draining`` hold leases still. ``given_up`` are services to be stopped whose nodes did not come. ``missing`` and
    ``found`` are services without a node since now, and those whose node has come.
    """

    wanted: int
    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    retire: str | None = None
    draining: tuple[str, ...] = ()
    given_up: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    found: tuple[str, ...] = ()


def decide(
    work: Work,
    nodes: Sequence[Node],
    desired: Mapping[str, int],
    missing: Mapping[str, timedelta],
    *,
    least: int,
    slots: int,
) -> Plan:
    """What to do now.

    ``desired`` has the desired count of every node's service. ``missing`` says for how long a service has been without
    its node; of one that is stopped, how long ago it failed last. ``slots`` is what one node has, ``least`` how many
    nodes there are without any work. A drained node is stopped as soon as it holds no lease, whoever drained it.
    """
    known = {node.name: node for node in nodes}
    started = [name for name, count in desired.items() if count]
    drained = [name for name in started if name in known and known[name].state == "draining"]
    absent = [name for name in started if name not in known or known[name].state == "down"]
    given_up = tuple(name for name in absent if name in missing and missing[name] >= PATIENCE)
    serving = [name for name in started if name not in drained and name not in given_up]
    up = [name for name in serving if name not in absent]
    wanted = _wanted(work.leased + work.dispatchable, least, len(desired), slots)
    stop = tuple(name for name in drained if not known[name].leases)
    # those that have not failed first, then the one whose failure is longest ago
    stopped = sorted((name for name, count in desired.items() if not count), key=lambda name: -_failed(name, missing))
    start = tuple(stopped[: max(0, wanted - len(serving))])
    kept = _wanted(ceil((work.leased + work.dispatchable) * HEADROOM), least, len(desired), slots)
    retire = None
    if not start and not drained and len(up) > kept and not work.dispatchable:
        retire = _least_missed([known[name] for name in up])
    return Plan(
        wanted,
        start,
        stop,
        retire,
        draining=tuple(name for name in drained if name not in stop),
        given_up=given_up,
        missing=tuple(name for name in absent if name not in missing),
        found=tuple(name for name in started if name in missing and name not in absent),
    )


def backlog_per_slot(work: Work, slots: int) -> float:
    """Units that wait for a slot, a slot there is; a fleet without any counts as one slot."""
    return work.dispatchable / max(1, slots)


def _wanted(units: int, least: int, most: int, slots: int) -> int:
    return min(most, max(least, ceil(units / slots)))


def _failed(name: str, missing: Mapping[str, timedelta]) -> float:
    """Seconds since a service failed; one that has not did so before all time."""
    return missing[name].total_seconds() if name in missing else inf


def _least_missed(nodes: Sequence[Node]) -> str | None:
    """An idle node before one at work, and of those the one with the fewest units; None when all are young."""
    settled = [node for node in nodes if node.age >= SETTLED]
    return min(settled, key=lambda node: (node.leases, node.age, node.name)).name if settled else None
