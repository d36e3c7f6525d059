"""``python -m browser_node``: one node, until SIGTERM or SIGINT; the second one ends it without draining.

Exit codes: 0 drained, 1 cannot run here, 2 wrong settings, 3 another process took this node's id.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import tempfile
from functools import partial

import structlog
import uvloop

from browser_node.chrome_binary import ChromeUnusable, find_chrome
from browser_node.node import TEMPORARY, Node
from browser_node.session import SupersededError
from browser_node.settings import Settings
from egress.settings import BadSettings
from fleet.environment import BadSettingFile
from fleet.errors import FleetError


def main() -> int:
    """Returns the exit code."""
    try:
        settings = Settings.from_environment(os.environ)
    except (BadSettings, BadSettingFile) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - there is no log before there are settings
        return 2
    _log_as_json(settings.log_level)
    structlog.contextvars.bind_contextvars(node=settings.node_id)
    log = structlog.get_logger(__name__)
    try:
        return uvloop.run(_run(settings))
    except SupersededError as exc:
        log.error("superseded", error=str(exc))
        return 3
    except (FleetError, ChromeUnusable) as exc:
        log.error("cannot_run", error=str(exc))
        return 1
    except asyncio.CancelledError:
        log.warning("ended_without_draining")
        return 130


async def _run(settings: Settings) -> int:
    from browser_node.scraping.runner import run_unit
    from browser_node.scraping.services import open_services

    chrome = find_chrome()
    if chrome is None:
        structlog.get_logger(__name__).error(
            "no_chrome", hint="install Chromium or name one in LEADFLEET_CHROME; `leadfleet doctor` helps"
        )
        return 1
    tempfile.gettempdir()  # ours stays what it was: a socket's path in it must be short
    os.environ["TMPDIR"] = str(settings.state.absolute() / TEMPORARY)
    node = Node(settings, chrome, run_unit, partial(open_services, check_mx=settings.check_mx))
    agent = asyncio.create_task(node.run(), name="node")
    asked = False

    def on_signal() -> None:
        nonlocal asked
        if asked:
            agent.cancel()
        asked = True
        node.leave()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await agent
    return 0


def _log_as_json(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


if __name__ == "__main__":
    sys.exit(main())
