"""States and timings both machines agree on."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

HEARTBEAT = timedelta(seconds=3)
"""How often a node writes to its ``out`` stream even when it has nothing to say."""

SELF_FENCE = timedelta(seconds=15)
"""A node that has had no heartbeat acknowledged for this long, counted from sending, stops its work.
A store that stalls 10 s therefore fences nobody."""

SESSION_TTL = timedelta(seconds=20)
"""A node that has written nothing for this long is gone. Longer than SELF_FENCE by more than the
command timeout, so a node has stopped before its units run elsewhere."""

REAPER_TICK = timedelta(seconds=1)
"""With SESSION_TTL: work of a dead node is queued again within 22 s."""

MAX_ATTEMPTS = 3
"""Failed pages and crashed Chromes a unit may cost before it is a dead letter."""

MAX_DELIVERIES = 5
"""Lost nodes a unit may cost before it is a dead letter."""

CANCEL_GRACE = timedelta(seconds=10)
"""How long a cancelled unit may take to let go of its tabs before its Chrome is killed."""


UNIT_IDLE = timedelta(seconds=180)
"""A running unit that says nothing for this long hangs although its node lives: its attempt ends with ``idle_timeout``.
Its three tabs report the beginning and the end of each page: 20 s for one, and on a crowded node the crawl delays of
those who wait for the same host, are less than half of it."""


class TaskState(StrEnum):
    """States of a task as clients see them."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETED = "completed"
    ERROR = "error"

    @property
    def terminal(self) -> bool:
        return self in {TaskState.STOPPED, TaskState.COMPLETED, TaskState.ERROR}


class UnitState(StrEnum):
    """States of a unit.

    ``waiting``: held back by the task's ``max_parallel``; ``queued``: dispatchable; ``retrying``:
    waits for its backoff; ``failed``: a dead letter.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    PAUSED = "paused"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"


class NodeState(StrEnum):
    """DOWN until its registration was ingested, UP, DRAINING until it says goodbye."""

    DOWN = "down"
    UP = "up"
    DRAINING = "draining"


class SlotState(StrEnum):
    """``releasing``: its unit was cancelled, the node has not confirmed; ``broken``: no live Chrome; ``down``: its
    node is gone."""

    FREE = "free"
    LEASED = "leased"
    RELEASING = "releasing"
    BROKEN = "broken"
    DOWN = "down"


class Outcome(StrEnum):
    """How a node ends a unit."""

    COMPLETED = "completed"
    FAILED = "failed"
    PAUSED = "paused"
    RETURNED = "returned"
    STOPPED = "stopped"
