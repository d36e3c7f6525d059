"""The fleet as operators see it: nodes and slots, a page at a time."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.errors import Invalid, NotFound
from control_plane.models import NodeList, NodeView, SlotList
from control_plane.scheduling.reads import READ_AT_ONCE, ask, each
from control_plane.scheduling.scripts import Scripts
from control_plane.scheduling.views import Flat, node_view, slot_view
from fleet import ids
from fleet.connect import Store
from fleet.errors import BadName
from fleet.keys import Keys
from fleet.model import SlotState


class Roster:
    """Nodes and slots of a fleet. Its methods raise StoreUnavailable while the store does not answer."""

    def __init__(self, client: Store, keys: Keys, scripts: Scripts) -> None:
        self._client, self._keys, self._scripts = client, keys, scripts

    async def nodes(self, *, limit: int, cursor: str | None = None) -> NodeList:
        """The nodes after ``cursor``, the id of one: by id, since the order in which they are heard changes."""
        known = {node.decode(): heard for node, heard in await self._known()}
        names = sorted(node for node in known if cursor is None or node > cursor)
        page = names[:limit]
        views = await self._nodes([(node, known[node]) for node in page])
        return NodeList(nodes=views, next_cursor=page[-1] if len(names) > limit else None)

    async def slots(self, tenant: str | None, *, limit: int, cursor: str | None = None) -> SlotList:
        """The slots after ``cursor``, which is the id of one. Raises Invalid for a cursor that is none.

        What runs on them is told for units of ``tenant`` (None: of nobody).
        """
        after = None if cursor is None else _slot_cursor(cursor)
        names = sorted(node.decode() for node, _ in await self._known())
        slots = await self._slots_after(names, after, limit + 1)
        page = slots[:limit]
        flats = await each(self._client, "read slots", page, lambda pipe, slot: pipe.hgetall(self._keys.slot(slot)))
        shown = await self._shown([flat.get(b"unit", b"").decode() for flat in flats], tenant)
        views = [slot_view(slot, flat, shown) for slot, flat in zip(page, flats, strict=True) if flat]
        return SlotList(slots=views, next_cursor=page[-1] if len(slots) > limit else None)

    async def drain(self, node: str) -> NodeView:
        """Have a node take no new work and leave when what runs has ended. Raises NotFound."""
        verdict = await self._scripts.drain(node)
        heard = await ask("read a node", self._client.zscore(self._keys.known(), node))
        if verdict == "unknown" or heard is None:
            raise NotFound("node", node)
        return (await self._nodes([(node, heard)]))[0]

    async def _nodes(self, known: Sequence[tuple[str, float]]) -> list[NodeView]:
        """Views of nodes, given with when they were last heard; without those that have left no record."""
        names = [node for node, _ in known]
        flats = await each(self._client, "read nodes", names, lambda pipe, node: pipe.hgetall(self._keys.node(node)))
        slots = [slot for node, flat in zip(names, flats, strict=True) for slot in _slot_ids(node, flat.get(b"slots"))]
        states = await each(
            self._client, "read slots", slots, lambda pipe, slot: pipe.hget(self._keys.slot(slot), "state")
        )
        of_node: dict[str, list[SlotState]] = {node: [] for node in names}
        for slot, state in zip(slots, states, strict=True):
            if state:
                of_node[ids.split_slot_id(slot)[0]].append(SlotState(state.decode()))
        return [
            node_view(node, flat, heard, of_node[node])
            for (node, heard), flat in zip(known, flats, strict=True)
            if flat
        ]

    async def _known(self) -> list[tuple[bytes, float]]:
        """(node, last heard) of all: one small reply, the only part of a listing that grows with the fleet."""
        known: list[tuple[bytes, float]] = await ask(
            "list nodes", self._client.zrange(self._keys.known(), 0, -1, withscores=True)
        )
        return known

    async def _slots_after(self, nodes: Sequence[str], after: tuple[str, int] | None, most: int) -> list[str]:
        """The first ``most`` slots of ``nodes``, in their order, that come after one."""
        found: list[str] = []
        rest = [node for node in nodes if after is None or node >= after[0]]
        at_once = min(most, READ_AT_ONCE)  # most nodes have a slot
        while rest and len(found) < most:
            chunk, rest = rest[:at_once], rest[at_once:]
            slots = sorted(map(ids.split_slot_id, await self._slots_of(chunk)))
            found += [ids.slot_id(*slot) for slot in slots if after is None or slot > after]
        return found[:most]

    async def _slots_of(self, nodes: Sequence[str]) -> list[str]:
        listed = await each(
            self._client, "read nodes", nodes, lambda pipe, node: pipe.hget(self._keys.node(node), "slots")
        )
        return [slot for node, indexes in zip(nodes, listed, strict=True) for slot in _slot_ids(node, indexes)]

    async def _shown(self, leased: Sequence[str], tenant: str | None) -> dict[str, Flat]:
        """The records of those of these units that are the tenant's."""
        units = [unit for unit in leased if unit and tenant is not None]
        tasks = [ids.split_unit_id(unit)[0] for unit in units]
        owners = await each(
            self._client, "read tasks", tasks, lambda pipe, task: pipe.hget(self._keys.task(task), "tenant")
        )
        own = [u for u, owner in zip(units, owners, strict=True) if tenant is not None and owner == tenant.encode()]
        flats = await each(self._client, "read units", own, lambda pipe, unit: pipe.hgetall(self._keys.unit(unit)))
        return dict(zip(own, flats, strict=True))


def _slot_ids(node: str, indexes: bytes | None) -> list[str]:
    return [ids.slot_id(node, int(index)) for index in (indexes or b"").decode().split(",") if index]


def _slot_cursor(cursor: str) -> tuple[str, int]:
    try:
        return ids.split_slot_id(cursor)
    except BadName as exc:
        raise Invalid(f"{cursor[:80]!r} is no cursor: take next_cursor of the page before") from exc
