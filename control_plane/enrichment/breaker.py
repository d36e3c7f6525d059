"""Whether the endpoint is asked at all: closed, open after failures in a row, then half open for a single trial. Pure.

Each replica has its own: it finds out with as many calls as ``threshold``, and no replica can talk another one out of
an endpoint that it alone does not reach.
"""

from __future__ import annotations

from datetime import timedelta
from enum import IntEnum


class State(IntEnum):
    """As the metric shows it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Times are seconds of a monotonic clock, and given by the caller."""

    def __init__(self, threshold: int, pause: timedelta) -> None:
        self._threshold, self._pause_s = threshold, pause.total_seconds()
        self._failures = 0
        self._open_until: float | None = None
        self._held_until = 0.0

    def state(self, now: float) -> State:
        if self._open_until is None:
            return State.CLOSED
        return State.OPEN if now < self._open_until else State.HALF_OPEN

    def room(self, now: float, under_way: int, most: int) -> int:
        """How many more calls may begin, of ``most`` at once."""
        if now < self._held_until:
            return 0
        allowed = {State.CLOSED: most, State.HALF_OPEN: 1, State.OPEN: 0}[self.state(now)]
        return max(0, allowed - under_way)

    def succeeded(self) -> None:
        self._failures, self._open_until = 0, None

    def failed(self, now: float, *, at_once: bool = False) -> bool:
        """Count a failure; whether this one opened a closed breaker. ``at_once``: the next would fail as well."""
        self._failures += 1
        if not at_once and self.state(now) is State.CLOSED and self._failures < self._threshold:
            return False
        opened = self._open_until is None
        self._open_until = now + self._pause_s
        return opened

    def hold(self, now: float, pause: timedelta) -> None:
        """The endpoint asked to be left alone for a while."""
        self._held_until = max(self._held_until, now + pause.total_seconds())
