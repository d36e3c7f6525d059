"""Whether a Chrome that does not answer hangs, or only has no processor: a new one would ask more of the same machine,
and its unit would begin again."""

from __future__ import annotations

from datetime import timedelta

PING_EVERY = timedelta(seconds=2)
PING_TIMEOUT = timedelta(seconds=5)
"""With PING_EVERY: a Chrome that hangs is killed within 7 s. A loaded one answers within one."""

STARVES_ABOVE = 0.5
"""Part of a silent ping in which a thread of Chrome could have run and did not: it is the machine that is stuck."""

PINGS_STARVED = 9
"""Such a Chrome has about a minute."""


class Pulse:
    """What one Chrome's pings have said so far."""

    def __init__(self) -> None:
        self._silent = 0

    def hangs(self, *, answered: bool, waited_s: float) -> bool:
        """Take one ping's outcome. ``waited_s`` is how long a thread of Chrome waited for a processor during it."""
        if answered:
            self._silent = 0
            return False
        self._silent += 1
        return waited_s < STARVES_ABOVE * PING_TIMEOUT.total_seconds() or self._silent > PINGS_STARVED
