"""Whether a container's node is fit: one of its Chromes answers. ``python -m browser_node.health`` exits 0 or 1.

What only the machine can see is asked here: Chromes that cannot start, a full disk. Whether the agent is alive the
store tells by its heartbeats, and an agent that was fenced keeps its Chromes warm and registers again.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from browser_node.settings import Settings
from egress.settings import BadSettings
from fleet.environment import BadSettingFile

PORT_FILE = "DevToolsActivePort"
"""Chrome writes the port that it listens on into its profile, on the first line."""

TIMEOUT_S = 2
"""A loaded Chrome answers within one second."""


def answering(state: Path) -> list[int]:
    """The debug ports of the Chromes with profiles under ``state`` that answer now."""
    return [port for port in _ports(state) if _answers(port)]


def _ports(state: Path) -> list[int]:
    ports = []
    for path in state.rglob(PORT_FILE):
        try:
            ports.append(int(path.read_text().split("\n", 1)[0]))
        except (OSError, ValueError):
            continue  # that Chrome is just starting, or its directory is being deleted
    return ports


def _answers(port: int) -> bool:
    # the environment's proxies are none of loopback's business
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/json/version", timeout=TIMEOUT_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def main() -> int:
    try:
        state = Settings.from_environment(os.environ).state
    except (BadSettings, BadSettingFile) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - the engine keeps what a health check prints
        return 1
    return 0 if answering(state) else 1


if __name__ == "__main__":
    sys.exit(main())
