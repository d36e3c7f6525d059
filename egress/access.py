"""What is written down about each connection: who went where, how much, and how it ended. No path, no credentials."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from egress.refused import visible
from fleet.credentials import NO_UNIT, Holder

PASSED, REFUSED, FAILED, CUT = "passed", "refused", "failed", "cut"
"""Verdicts: bytes went both ways until one side was done; nothing was connected to because of a rule; the origin could
not be reached; the connection was ended by a cap."""


@dataclass(slots=True)
class Access:
    """One client connection. ``up`` and ``down`` are bytes to and from the origin."""

    holder: Holder | None = None
    method: str = ""
    host: str = ""
    port: int = 0
    address: str = ""
    verdict: str = PASSED
    reason: str = ""
    requests: int = 0
    up: int = 0
    down: int = 0
    began: float = field(default_factory=time.monotonic)

    def fields(self) -> dict[str, str | int | float]:
        """As they are logged, in this order."""
        return {
            "node": self.holder.node if self.holder else "",
            "unit": self.holder.unit if self.holder else NO_UNIT,
            "fence": self.holder.fence if self.holder else 0,
            "method": self.method,
            "host": self.host,
            "port": self.port,
            "address": self.address,
            "verdict": self.verdict,
            "reason": visible(self.reason),
            "requests": self.requests,
            "up": self.up,
            "down": self.down,
            "seconds": round(time.monotonic() - self.began, 3),
        }


OnAccess = Callable[[Access], None]
