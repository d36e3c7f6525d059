"""``python3 -m infra.containers``: the secrets alone; ``up`` and ``down`` the whole stack, for ``make stack``."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from infra.bootstrap import docker
from infra.bootstrap.console import exit_status
from infra.containers import secrets
from infra.containers.project import Project


def main() -> int:
    """The exit status; 1 with a sentence on stderr when a step fails."""
    parser = argparse.ArgumentParser(prog="python3 -m infra.containers", description=__doc__)
    parser.add_argument("command", nargs="?", choices=["secrets", "up", "down"], default="secrets")
    parser.add_argument("--nodes", type=int, default=1, help="how many browser nodes")
    arguments = parser.parse_args()
    match arguments.command:
        case "up":
            return exit_status(partial(_up, arguments.nodes))
        case "down":
            return exit_status(_down)
        case _:
            return exit_status(_secrets)


def _secrets() -> None:
    made = secrets.prepare(secrets.FOLDER)
    print(f"{'made' if made else 'kept'} the secrets in {secrets.FOLDER}; {secrets.API_KEY} is the first API key")


def _up(nodes: int) -> None:
    daemon = docker.ensure_running()
    project = Project(profiles=("town",))
    _secrets()
    project.build()
    project.up(nodes)
    print(
        f"API       {project.url}  (console at {project.url}/, docs at {project.url}/docs)\n"
        f"API key   in {secrets.FOLDER / secrets.API_KEY}\n"
        "town      http://directory.town.test/ (through the stack's browsers only)\n"
        "stop      make stack-down; tasks and leads stay for the next start",
        flush=True,
    )
    if daemon is not None:
        print(f"engine    started for this, and left running: `kill {daemon.pid}` ends it", flush=True)


def _down() -> None:
    Project(profiles=("town",)).down()


if __name__ == "__main__":
    sys.exit(main())
