"""What each unit and each node may use of the proxy, and what they have used. A replica of the control plane counts as
a node, and has no units.

Counters live in memory alone and are bounded: a node keeps `UNITS_KEPT` units, nodes are those that have proven
themselves. A unit that was idle for `FORGOTTEN_AFTER` is forgotten; who returns after that begins at zero.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from egress.refused import Refused
from fleet.credentials import Holder
from fleet.refusals import Category

UNITS_KEPT = 1024
NODES_KEPT = 4096
FORGOTTEN_AFTER = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection, a unit, a node and all of them may use. Sizes are bytes, both ways together."""

    connections: int = 16_384
    node_connections: int = 512
    unit_connections: int = 128
    unit_bytes: int = 8 << 30
    connection_bytes: int = 256 << 20
    """Received."""
    life: timedelta = timedelta(hours=1)
    """Of a connection."""
    head: timedelta = timedelta(seconds=30)
    """Within which the head of a request is complete."""
    connect: timedelta = timedelta(seconds=10)
    idle: timedelta = timedelta(seconds=90)

    def spent(self, holder: Holder, size: int) -> str:
        """Why the unit may move nothing more, empty while it may. What belongs to no unit never ends, so its bytes are
        not capped."""
        return f"the unit has moved {self.unit_bytes >> 20} MB" if holder.is_unit and size > self.unit_bytes else ""


@dataclass(slots=True)
class _Unit:
    open: int = 0
    bytes: int = 0
    touched: float = 0.0


@dataclass(slots=True)
class _Node:
    open: int = 0
    units: OrderedDict[tuple[str, int], _Unit] = field(default_factory=OrderedDict)


class Share:
    """One connection's part in the share of its unit and node. `release` it once."""

    def __init__(self, holder: Holder, limits: Limits, node: _Node, unit: _Unit) -> None:
        self.holder = holder
        self._limits, self._node, self._unit = limits, node, unit

    def moved(self, size: int) -> str:
        """``size`` more bytes passed. Why no more may, empty while some may."""
        self._unit.bytes += size
        return self._limits.spent(self.holder, self._unit.bytes)

    def release(self) -> None:
        self._node.open -= 1
        self._unit.open -= 1


class Shares:
    """Of all holders."""

    def __init__(self, limits: Limits, now: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._now = limits, now
        self._nodes: OrderedDict[str, _Node] = OrderedDict()

    def take(self, holder: Holder) -> Share:
        """A place for one more connection. Raises Refused with 429."""
        node = self._node(holder.machine)
        unit = self._unit(node, (holder.unit, holder.fence))
        if node.open >= self._limits.node_connections:
            raise Refused(Category.CAP, f"{holder.machine} has {node.open} connections open")
        if holder.is_unit and unit.open >= self._limits.unit_connections:
            raise Refused(Category.CAP, f"the unit has {unit.open} connections open")
        if spent := self._limits.spent(holder, unit.bytes):
            raise Refused(Category.SPENT, spent)
        node.open += 1
        unit.open += 1
        return Share(holder, self._limits, node, unit)

    def forget(self, holder: Holder) -> None:
        """The unit is over."""
        if (node := self._nodes.get(holder.machine)) is not None:
            node.units.pop((holder.unit, holder.fence), None)

    def __len__(self) -> int:
        """Units that are counted."""
        return sum(len(node.units) for node in self._nodes.values())

    def _node(self, name: str) -> _Node:
        node = self._nodes.setdefault(name, _Node())
        self._nodes.move_to_end(name)
        if len(self._nodes) > NODES_KEPT:
            self._drop_oldest(self._nodes)
        return node

    def _unit(self, node: _Node, key: tuple[str, int]) -> _Unit:
        now = self._now()
        for old, oldest in list(node.units.items()):
            if oldest.open or now - oldest.touched < FORGOTTEN_AFTER.total_seconds():
                break
            del node.units[old]
        unit = node.units.setdefault(key, _Unit())
        unit.touched = now
        node.units.move_to_end(key)
        if len(node.units) > UNITS_KEPT:
            self._drop_oldest(node.units)
        return unit

    @staticmethod
    def _drop_oldest(kept: OrderedDict[str, _Node] | OrderedDict[tuple[str, int], _Unit]) -> None:
        """The oldest of which nothing is open. When there is none, as many are kept as connections are."""
        for key, each in kept.items():
            if not each.open:
                del kept[key]  # type: ignore[arg-type]
                return
