"""The sign of life, on a thread of its own with a connection of its own, never behind the busy loop.

A node that has had no heartbeat acknowledged for SELF_FENCE, counted from *sending* the last one that was, must
assume that its units already run elsewhere. The thread then tells the loop to stop them at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import redis
import structlog

from fleet.clock import Clock
from fleet.messages import Heartbeat
from fleet.model import HEARTBEAT, SELF_FENCE

RETRY = timedelta(milliseconds=500)
"""After a heartbeat that failed: a store that is back is told within a second."""

JOIN_TIMEOUT_S = 8
"""Longer than one try can take: connect 1 s, command 2 s, and once more on a fresh connection."""

log = structlog.get_logger(__name__)


class Liveness:
    """What the heartbeat of one registration says, shared between the loop and the thread.

    A unit is live from before its command counts as seen until its end has been acknowledged: the control plane
    takes a unit that is neither for lost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, int] = {}
        self._seen = "0-0"
        self._draining = False

    def add(self, unit: str, fence: int) -> None:
        with self._lock:
            self._live[unit] = fence

    def remove(self, unit: str, fence: int) -> None:
        """No effect when the unit has come back under another fence."""
        with self._lock:
            if self._live.get(unit) == fence:
                del self._live[unit]

    def seen(self, command_id: str) -> None:
        with self._lock:
            self._seen = command_id

    def drain(self) -> None:
        with self._lock:
            self._draining = True

    def message(self, boot: str, load: dict[str, float]) -> Heartbeat:
        with self._lock:
            return Heartbeat(boot, dict(self._live), self._seen, load=load, draining=self._draining)


class HeartbeatThread:
    """Beats from `start` until `stop`.

    ``on_fenced(reason)`` is called once, on this thread, when the store was silent for too long or refuses the
    node; nothing is sent after it.
    """

    def __init__(
        self,
        client: redis.Redis,
        stream: str,
        message: Callable[[], Heartbeat],
        on_fenced: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._client, self._stream, self._message = client, stream, message
        self._on_fenced, self._clock = on_fenced, clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """The registration that was just acknowledged counts as the first sign of life."""
        self._acknowledged = self._clock.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; blocks for at most one try. Harmless when it was never started."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        try:
            reason = self._beat_until_silent()
        finally:
            self._client.close()
        if reason:
            self._on_fenced(reason)

    def _beat_until_silent(self) -> str:
        """Why the node is fenced; empty when it was stopped."""
        while not self._stop.is_set():
            sent = self._clock.monotonic()
            if sent - self._acknowledged >= SELF_FENCE.total_seconds():
                return f"no heartbeat acknowledged for {SELF_FENCE.total_seconds():g} s"
            pause = HEARTBEAT
            try:
                self._client.xadd(self._stream, self._message().to_fields())  # type: ignore[arg-type]
                self._acknowledged = sent
            except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as exc:
                return f"the store does not know this node any more: {exc}"
            except (redis.RedisError, OSError) as exc:
                log.warning("heartbeat_failed", error=str(exc)[:200])
                pause = RETRY
            left = SELF_FENCE.total_seconds() - (self._clock.monotonic() - self._acknowledged)
            self._stop.wait(max(0.0, min(pause.total_seconds(), left)))
        return ""
