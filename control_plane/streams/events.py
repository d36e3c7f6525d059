"""Events as clients get them, and where a client that comes back goes on. Pure."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import orjson

from control_plane.errors import BadRequest
from fleet import ids
from fleet.messages import Fields

TASK_KINDS = frozenset({"task_started", "task_completed", "task_error", "task_stopped", "task_paused", "task_resumed"})
FLAT_KINDS = frozenset({"log", "progress"})
"""Kinds whose members stand beside ``type``; the others carry them in ``data``."""

CHANNELS: Mapping[str, frozenset[str] | None] = {
    "logs": frozenset({"log"}),
    "progress": frozenset({"progress"}),
    "results": frozenset({"result", "enriched"}) | TASK_KINDS,
    "events": None,
}
"""What each socket carries; None is everything."""

START = "0-0"

RETRY_MS = (500, 3_000)
"""When a client comes back that has lost us: spread, so that all viewers of a lost replica do not come at once."""


@dataclass
class Event:
    """One entry of a task's event stream; encoded once for all who get it."""

    id: str
    kind: str
    raw: bytes

    @classmethod
    def from_fields(cls, entry: str, fields: Fields) -> Event:
        return cls(entry, fields.get(b"k", b"").decode("utf-8", "replace"), fields.get(b"d", b"{}"))

    @property
    def milliseconds(self) -> int:
        return int(self.id.partition("-")[0])

    @cached_property
    def data(self) -> dict[str, Any]:
        """The payload; ours, because ingest rebuilt what a node sent from known fields."""
        value = orjson.loads(self.raw)
        return value if isinstance(value, dict) else {}

    @cached_property
    def text(self) -> str:
        """The JSON message. ``type``, ``id`` and ``timestamp`` are ours whatever the payload holds."""
        frame = {"type": self.kind, "id": self.id, "timestamp": timestamp(self.milliseconds)}
        message = self.data | frame if self.kind in FLAT_KINDS else frame | {"data": self.data}
        return orjson.dumps(message).decode()


def array(events: Sequence[Event]) -> str:
    """Events as one JSON message: what clients get that ask for batches."""
    return f"[{','.join(event.text for event in events)}]"


@dataclass(frozen=True, slots=True)
class Extent:
    """What a stream holds: ids of the first and last entry, whether any were trimmed, whether the one that was asked
    for is ``there`` or was erased."""

    first: tuple[int, int]
    last: tuple[int, int]
    trimmed: bool
    there: bool


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on behind ``after``; ``gap`` when something the client has not seen is gone."""

    after: str
    gap: bool


def parse_position(text: str | None) -> tuple[int, int] | None:
    """A client's ``last_event_id``. None when it has none; BadRequest for garbage."""
    if not text:
        return None
    position = ids.stream_position(text)
    if position is None or max(position) >= 2**64:
        raise BadRequest(f"last_event_id must be the id of a message, like 1700000000000-0, not {text[:40]!r}")
    return position


def resume(asked: tuple[int, int] | None, extent: Extent | None) -> Resume:
    """Where to go on for a client that saw everything up to ``asked``; without one it gets all there is."""
    if asked is None:
        return Resume(START, gap=False)
    if extent is None:
        return Resume(START, gap=asked > (0, 0))
    if asked > extent.last:  # the store has lost what the client saw
        return Resume(position_text(extent.last), gap=True)
    if asked < extent.first:
        return Resume(position_text(asked), gap=extent.trimmed)
    # one that was told and is not there was lost by a store that was set back, and others with it
    return Resume(position_text(asked), gap=not extent.there)


def retry_ms() -> int:
    """What a client is told as it connects: after how many milliseconds it shall come back when the stream breaks."""
    return random.randint(*RETRY_MS)  # noqa: S311 - spreads load, guards nothing


def position_text(position: tuple[int, int]) -> str:
    return f"{position[0]}-{position[1]}"


def timestamp(milliseconds: int) -> str:
    """ISO 8601 UTC, with milliseconds."""
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
