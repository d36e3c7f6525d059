"""Identifiers: how they look, how they are made, and what may be part of a key."""

from __future__ import annotations

import os
import re
import secrets
import time

from fleet.errors import BadName

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_TASK = re.compile(r"tsk_[0-9a-hjkmnp-tv-z]{26}\Z")
_UNIT = re.compile(r"(tsk_[0-9a-hjkmnp-tv-z]{26})\.([0-9]{1,4})\Z")
_STREAM_ID = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?\Z")


def new_task_id() -> str:
    """``tsk_`` and a ULID: sorts by time, and its 80 random bits cannot be guessed."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "tsk_" + _base32(value, 26)


def new_boot_id() -> str:
    """One life of one node process."""
    return _base32(int.from_bytes(os.urandom(10), "big"), 16)


def is_task_id(text: str) -> bool:
    return _TASK.match(text) is not None


def unit_id(task: str, index: int) -> str:
    """The unit ``index`` of a task: ``tsk_….7``."""
    return f"{task}.{index}"


def split_unit_id(unit: str) -> tuple[str, int]:
    """``(task, index)`` of a unit id; BadName when it is not one."""
    match = _UNIT.match(unit)
    if match is None:
        raise BadName("unit id", unit)
    return match.group(1), int(match.group(2))


def slot_id(node: str, index: int) -> str:
    """The slot ``index`` of a node: ``node-1/0``."""
    return f"{node}/{index}"


def split_slot_id(slot: str) -> tuple[str, int]:
    """``(node, index)`` of a slot id."""
    node, _, index = slot.rpartition("/")
    if not node or not index.isdecimal():
        raise BadName("slot id", slot)
    return node, int(index)


def name(what: str, text: str) -> str:
    """``text`` if it may be part of a key or an ACL pattern, else BadName saying ``what`` it was."""
    if _NAME.match(text) is None:
        raise BadName(what, text)
    return text


def stream_position(text: str) -> tuple[int, int] | None:
    """``(milliseconds, sequence)`` of a stream id, None when it is not one."""
    match = _STREAM_ID.match(text)
    return None if match is None else (int(match.group(1)), int(match.group(2) or 0))


def _base32(value: int, length: int) -> str:
    digits = []
    for _ in range(length):
        value, digit = divmod(value, 32)
        digits.append(_CROCKFORD[digit])
    return "".join(reversed(digits))
