"""Where a stack on this machine keeps its data and its key: one rule for those that run it and for its clients."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]


def state_directory() -> Path:
    """``LEADFLEET_STATE``, else ``.state`` in the repository, whatever the current directory is."""
    return Path(os.environ.get("LEADFLEET_STATE") or REPOSITORY / ".state").absolute()
