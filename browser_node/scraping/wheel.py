"""Whether a person steers a unit's browser: the runner asks between its steps, and waits as long as one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Wheel:
    """Nobody's at first. Belongs to one event loop; nothing here raises."""

    def __init__(self) -> None:
        self.turns = 0
        """How many times somebody has taken it: what was read before may be another page by now."""
        self._free = asyncio.Event()
        self._free.set()
        self._expiry: asyncio.TimerHandle | None = None

    @property
    def held(self) -> bool:
        return not self._free.is_set()

    def hold(self, seconds: float, lapsed: Callable[[], None]) -> bool:
        """Somebody has it for ``seconds`` from now; True when nobody had it before.

        Unless it is held again or given back by then, it is nobody's, and ``lapsed`` is called.
        """
        begins = not self.held
        self.turns += begins
        self._free.clear()
        self._forget_expiry()
        self._expiry = asyncio.get_running_loop().call_later(seconds, self._lapse, lapsed)
        return begins

    def _lapse(self, lapsed: Callable[[], None]) -> None:
        self.give_back()
        lapsed()

    def give_back(self) -> None:
        """Nobody has it any more."""
        self._forget_expiry()
        self._free.set()

    async def free(self) -> None:
        """Return when nobody has it."""
        await self._free.wait()

    def _forget_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
