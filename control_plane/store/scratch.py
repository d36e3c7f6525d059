"""A worker's own folder for files that it can make again; one that a dead worker left is removed by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

_LOCK = "lock"


class Scratch:
    """Use as a context manager. ``path`` is empty at first, and gone afterwards."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self.path = parent
        self._lock = -1

    def __enter__(self) -> Self:
        self._parent.mkdir(parents=True, exist_ok=True)
        self._sweep()
        self.path = Path(tempfile.mkdtemp(prefix="worker-", dir=self._parent))
        # held for as long as this process lives, however it ends
        self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *exc: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _sweep(self) -> None:
        for left in self._parent.glob("worker-*"):
            with suppress(OSError):  # alive, being made, or somebody else is removing it
                lock = os.open(left / _LOCK, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left)
                finally:
                    os.close(lock)
