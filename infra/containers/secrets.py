"""The secrets of infra/compose.yaml, made once and kept out of git.

Each is a file that the containers which need it get at ``/run/secrets``; ``users.acl`` holds the users of Valkey.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from fleet.files import write_whole
from fleet.keys import JOIN_USER
from infra.bootstrap.console import SetupError
from infra.stack.valkey import CONTROL_USER, acl

FLEET = "local"
"""The default of both machines' setting ``LEADFLEET_FLEET``, which compose.yaml leaves alone."""

SERVER = "valkey:6379/0"

FOLDER = Path(__file__).resolve().parents[1] / "secrets"

API_KEY = "api_key"


def prepare(folder: Path) -> bool:
    """Write the secrets into ``folder``; False when they are there already. Raises SetupError when some are not whole.

    Existing ones stay: a running Valkey and its clients know their passwords.
    """
    if (folder / API_KEY).exists():
        _check(folder)
        return False
    # the folder keeps others out; its files are read by the users of containers, who are nobody on this machine
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, text in _made().items():
        write_whole(folder / name, text, mode=0o644)
    return True


def _check(folder: Path) -> None:
    """A container that is given an empty secret fails with words that lead nowhere, or lets everybody in."""
    for name in _made():
        file = folder / name
        if not file.is_file() or not file.read_text().strip():
            state = "empty" if file.is_file() else "not there"
            raise SetupError(f"{file} is {state}: `make stack-down`, remove {folder}, and `make stack` makes all anew")


def _made() -> dict[str, str]:
    """By file name; the first API key comes last, because it is what says that all are there."""
    control, join = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    return {
        "users.acl": acl(FLEET, control_password=control, join_password=join),
        "redis_url": f"redis://{CONTROL_USER}:{control}@{SERVER}",
        "join_url": f"redis://{JOIN_USER}:{join}@{SERVER}",
        "egress_secret": secrets.token_urlsafe(32),
        "signing_secret": secrets.token_urlsafe(32),
        API_KEY: f"lfk_{secrets.token_urlsafe(32)}",
    }
