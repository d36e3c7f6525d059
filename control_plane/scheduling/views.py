"""Records of the store as the contract's models: pure, one function a record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson

from control_plane.models import NodeView, SlotView, TaskStatus, WebhookStatus
from fleet import ids
from fleet.model import NodeState, SlotState, TaskState

Flat = dict[bytes, bytes]
"""A hash as redis-py returns it."""


def task_status(task: str, flat: Flat, position: int | None) -> TaskStatus:
    """A task as clients see it, from its hash in the store."""
    spec = orjson.loads(flat[b"spec"])
    text = {k.decode(): v.decode() for k, v in flat.items() if k not in {b"spec", b"options"}}
    started, ended = time_of(flat.get(b"started")), time_of(flat.get(b"ended"))
    error = text.get("error")
    return TaskStatus(
        task_id=task,
        status=TaskState(text["state"]),
        progress={k[2:]: int(v) for k, v in text.items() if k.startswith("p:")},
        total_results=int(text["found"]),
        pages=int(text["pages"]),
        pages_left_out=int(text.get("left_out", 0)),
        units={k[2:]: int(v) for k, v in text.items() if k.startswith("n_") and int(v)},
        queries=spec["queries"],
        platforms=spec["platforms"],
        current_query=text.get("current_query"),
        current_platform=text.get("current_platform"),
        created_at=time_of(flat[b"created"]),
        started_at=started,
        completed_at=ended,
        duration_seconds=((ended or datetime.now(UTC)) - started).total_seconds() if started else None,
        error=f"{error}: {text.get('detail', '')}" if error else None,
        attempt=int(text.get("attempt", 0)),
        queue_position=position,
        webhook=_webhook_status(text),
    )


def _webhook_status(text: dict[str, str]) -> WebhookStatus | None:
    if "webhook" not in text:
        return None
    status = text.get("webhook_status")
    return WebhookStatus(
        state=text["webhook"],
        attempts=int(text["webhook_attempts"]),
        last_status=int(status) if status else None,
        last_error=text.get("webhook_error") or None,
    )


def node_view(node: str, flat: Flat, heard: float, slots: Sequence[SlotState]) -> NodeView:
    """A node as operators see it; ``heard`` is in Unix milliseconds, ``slots`` the states of its slots."""
    text = {k.decode(): v.decode() for k, v in flat.items()}
    return NodeView(
        node_id=node,
        state=NodeState(text.get("state", NodeState.DOWN)),
        generation=int(text.get("generation", 0)),
        address=text.get("address", ""),
        labels=[label for label in text.get("labels", "").split(",") if label],
        version=text.get("version", ""),
        browser=text.get("browser", ""),
        sandbox=text.get("sandbox", ""),
        slots=len(slots),
        slots_free=sum(state == SlotState.FREE for state in slots),
        registered_at=time_of(flat.get(b"registered")),
        last_heard_at=time_of(str(int(heard)).encode()),
        load=orjson.loads(text.get("load", "{}")),
    )


def slot_view(slot: str, flat: Flat, shown: Mapping[str, Flat]) -> SlotView:
    """A slot; what runs on it is told for the units in ``shown``, given with their records."""
    node, index = ids.split_slot_id(slot)
    unit = flat.get(b"unit", b"").decode()
    record = shown.get(unit)
    task = None if record is None else ids.split_unit_id(unit)[0]
    record = record or {}
    return SlotView(
        slot_id=slot,
        node_id=node,
        index=index,
        state=SlotState(flat[b"state"].decode()),
        leased_at=time_of(flat.get(b"granted")),
        task_id=task,
        unit=unit if task else None,
        platform=record.get(b"platform", b"").decode() or None,
        current=record.get(b"current", b"").decode() or None,
    )


def time_of(milliseconds: bytes | None) -> datetime | None:
    """A time as the store keeps it, Unix milliseconds as text."""
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
