"""Ends the Chrome that takes more of the machine than a Chrome may, before the machine ends something else.

A page can make its Chrome take a gigabyte of memory a second, and the kernel would then choose who dies: the agent,
perhaps. On a full disk Chromes fail in ways that nobody can name. So both are looked at all the time; a unit that is
ended for it fails with a code that says why, and the Chrome's own memory and profile are free again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from browser_node import disk, processes

if TYPE_CHECKING:
    from browser_node.pool import Slot

LOOK_EVERY = timedelta(seconds=1)
"""Costs 2 ms a slot; what a page can take in between is a gigabyte or two."""

OUT_OF_MEMORY, NO_SPACE = "out_of_memory", "no_space"

log = structlog.get_logger(__name__)


class Guard:
    """Watches ``slots``, whose profiles are in ``state``; ``memory`` is what one Chrome may hold, in bytes."""

    def __init__(self, slots: Sequence[Slot], state: Path, memory: int) -> None:
        self._slots, self._state, self._memory = slots, state, memory

    async def watch(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY.total_seconds())
            try:
                await self._look()
            except OSError as exc:
                log.error("guard_cannot_look", error=str(exc))

    async def _look(self) -> None:
        living = {slot.pid: slot for slot in self._slots if slot.pid}
        held = await asyncio.to_thread(processes.memory_by_session, list(living))
        for pid, memory in held.items():
            if memory > self._memory and living[pid].pid == pid:
                log.error("chrome_too_large", slot=living[pid].index, memory_mb=memory >> 20)
                living[pid].fail(OUT_OF_MEMORY)
        if await asyncio.to_thread(disk.is_full, self._state):
            await self._make_space([slot for slot in living.values() if slot.pid])

    async def _make_space(self, living: list[Slot]) -> None:
        """End the Chrome whose files take the most; the next look ends another one if that was not enough."""
        sizes = await asyncio.to_thread(lambda: [disk.size(slot.directory) for slot in living])
        if living:
            size, largest = max(zip(sizes, living, strict=True), key=lambda each: each[0])
            log.error("disk_full", state=str(self._state), slot=largest.index, profile_mb=size >> 20)
            largest.fail(NO_SPACE)
