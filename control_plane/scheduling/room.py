"""How full the store is, and what is given up first so that what runs can end.

A store at its limit refuses every write, the end of a running unit included. Well before that pictures are given up,
then new tasks; what is left of the memory belongs to the work that was promised.
"""

from __future__ import annotations

from fleet.connect import Store

PICTURES = 0.85
"""Above this share of ``maxmemory`` no pictures are asked for."""

TASKS = 0.9
"""Above this share no tasks are taken. A running unit needs some 10 KB a page; 10 % are that of all slots together."""


class Room:
    """What the store reported last; without a limit of its own there is room for everything."""

    def __init__(self, client: Store) -> None:
        self._client = client
        self._used = 0.0

    async def tick(self) -> None:
        """Ask the store."""
        memory = await self._client.info("memory")
        limit = memory.get("maxmemory", 0)
        self._used = memory["used_memory"] / limit if limit else 0.0

    @property
    def for_pictures(self) -> bool:
        return self._used < PICTURES

    @property
    def for_tasks(self) -> bool:
        return self._used < TASKS
