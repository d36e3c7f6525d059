"""Whether a container's node is fit: its agent answers, and one of the agent's Chromes does. ``python -m
browser_node.health`` exits 0 or 1.

What only the machine can see is asked here: a loop that hangs, Chromes that cannot start, a full disk. Whether the node
is registered is not: an agent that was fenced, or whose store is away, keeps its Chromes warm and registers again.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from browser_node import status
from browser_node.settings import Settings
from egress.settings import BadSettings
from fleet.environment import BadSettingFile

TIMEOUT_S = 3
"""A loaded agent, or Chrome, answers within one second."""


def unfit(state: Path) -> str:
    """What is wrong with the agent of this state directory; empty when nothing is."""
    try:
        ports = status.ask(state, TIMEOUT_S)["ports"]
    except (OSError, ValueError, KeyError) as exc:
        return f"the agent does not answer: {exc}"
    if not any(_answers(port) for port in ports):
        return f"none of the agent's Chromes answers; their ports: {ports}"
    return ""


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
    wrong = unfit(state)
    if wrong:
        print(wrong, file=sys.stderr)  # noqa: T201 - as above
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
