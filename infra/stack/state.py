"""What an embedded stack keeps between two runs: its secrets, its data, its logs, and who is using them."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from fleet.files import write_whole
from infra.stack.errors import StateInUse, StateUnusable

API_KEY_PREFIX = "lfk_"  # as `control_plane.keyring` makes them, whose imports would slow every start


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made once for a state directory and kept there, readable by its owner alone."""

    control_password: str
    join_password: str
    signing_secret: str
    api_key: str


class StateDirectory:
    """``path`` and what is where inside it. One stack at a time may hold it."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.valkey = self.path / "valkey"
        self.logs = self.path / "logs"
        self.leads = self.path / "leads"
        self.acl_file = self.path / "valkey" / "users.acl"
        self.description = self.path / "stack.json"
        self.api_key_file = self.path / "api_key"
        self._lock: IO[str] | None = None

    def node(self, node: str) -> Path:
        """The folder of one node: profiles and what it must remember."""
        return self.path / f"node-{node}"

    def acquire(self) -> None:
        """Make the folders and take the lock; raises `StateUnusable`, and `StateInUse` when another holds it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise StateUnusable(self.path, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise StateInUse(self.path, holder) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock
        for folder in (self.valkey, self.logs, self.leads):
            folder.mkdir(exist_ok=True, mode=0o700)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._lock is not None:
            self.description.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def secrets(self) -> Secrets:
        """The secrets of this directory; made at the first call ever."""
        file = self.path / "secrets.json"
        if file.exists():
            return Secrets(**json.loads(file.read_text()))
        made = Secrets(
            control_password=secrets.token_urlsafe(24),
            join_password=secrets.token_urlsafe(24),
            signing_secret=secrets.token_urlsafe(32),
            api_key=API_KEY_PREFIX + secrets.token_urlsafe(32),
        )
        write_whole(file, json.dumps(asdict(made)))
        write_whole(self.api_key_file, made.api_key + "\n")
        return made
