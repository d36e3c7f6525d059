"""``python3 -m infra.containers``: the secrets of infra/compose.yaml, made once and kept out of git.

``infra/.env`` is what compose reads for its variables; ``infra/secrets/users.acl`` holds the users of Valkey. Standard
library only: it runs before anything is installed.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

from infra.stack.valkey import acl

FLEET = "local"
"""The default of both machines' setting ``LEADFLEET_FLEET``, which compose.yaml leaves alone."""

VARIABLES = ("CONTROL_PASSWORD", "JOIN_PASSWORD", "SIGNING_SECRET", "API_KEY")


def prepare(folder: Path) -> bool:
    """Write ``.env`` and ``secrets/users.acl`` into ``folder``; False when they are there already.

    Existing ones stay: a running Valkey and its clients know their passwords.
    """
    environment = folder / ".env"
    if environment.exists():
        return False
    values = {name: secrets.token_urlsafe(32) for name in VARIABLES}
    inside = folder / "secrets"
    inside.mkdir(mode=0o700, exist_ok=True)
    # the folder keeps others out; the file itself is read by the server's user, which is nobody on this machine
    users = inside / "users.acl"
    users.write_text(acl(FLEET, control_password=values["CONTROL_PASSWORD"], join_password=values["JOIN_PASSWORD"]))
    users.chmod(0o644)
    # last, because it is what says that all is done
    environment.touch(mode=0o600)
    environment.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    return True


def main() -> int:
    folder = Path(__file__).resolve().parent
    made = prepare(folder)
    print(f"{'made' if made else 'kept'} {folder / '.env'}; API_KEY in it is the first API key")
    return 0


if __name__ == "__main__":
    sys.exit(main())
