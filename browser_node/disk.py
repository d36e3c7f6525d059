"""How much room there is for profiles."""

from __future__ import annotations

import shutil
from pathlib import Path

LEAST_FREE = 16 << 20
"""A Chrome at work writes less than this in a second."""

ROOM_FOR_A_CHROME = 64 << 20
"""A profile takes 3 to 30 MB. Well above `LEAST_FREE`: a Chrome that starts must not be ended at once."""


def is_full(state: Path) -> bool:
    """Whether the file system of the state directory has so little room that Chromes begin to fail."""
    return _free(state) < LEAST_FREE


def has_room(state: Path) -> bool:
    """Whether one more Chrome may start."""
    return _free(state) >= ROOM_FOR_A_CHROME


def size(directory: Path) -> int:
    """Bytes that the files below take; those that vanish meanwhile count as nothing."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except OSError:
            continue
    return total


def _free(state: Path) -> int:
    """Free bytes where ``state`` is, or will be made."""
    there = next(path for path in (state, *state.parents) if path.exists())
    return shutil.disk_usage(there).free
