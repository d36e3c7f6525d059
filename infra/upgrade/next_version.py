"""A next version of this very code that differs in what travels between replicas and nodes.

Messages get another version number and a member that the version before has never heard of, in both directions: what
``fleet.messages`` promises to bear.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from control_plane.local_state import REPOSITORY
from fleet import PROTOCOL_VERSION

PACKAGES = ("browser_node", "control_plane", "egress", "fleet", "infra", "leads")
NEXT = PROTOCOL_VERSION + 1

_CHANGES = {
    "fleet/__init__.py": (f"PROTOCOL_VERSION = {PROTOCOL_VERSION}", f"PROTOCOL_VERSION = {NEXT}"),
    # nodes tell the control plane more …
    "fleet/messages.py": (
        "    draining: bool = False\n",
        '    draining: bool = False\n    zone: str = "next"\n',
    ),
    # … and are told more
    "control_plane/scheduling/lua/common.lua": (
        f"'v', '{PROTOCOL_VERSION}', 'boot'",
        f"'v', '{NEXT}', 'issuer', 'next', 'boot'",
    ),
}
"""By file: what stands there, once, and what stands there in the next version."""


class NotUpgradable(Exception):
    """The code has changed, and what makes the next version of it has not."""

    def __init__(self, file: Path, text: str) -> None:
        super().__init__(f"{file} does not hold {text!r} once: mend the list of changes in {__name__}")


def make_next_version(directory: Path) -> Path:
    """Copy our packages to ``directory`` and change the copy; the directory. Raises `NotUpgradable`."""
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (now, then) in _CHANGES.items():
        file = directory / name
        text = file.read_text(encoding="utf-8")
        if text.count(now) != 1:
            raise NotUpgradable(file, now)
        file.write_text(text.replace(now, then), encoding="utf-8")
    return directory
