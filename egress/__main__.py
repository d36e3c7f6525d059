"""``python -m egress``: the proxy as a process of its own, until SIGTERM or SIGINT; the second one ends it at once.

It is safe as the first process of a container: it handles both signals itself and has no children. Exit codes: 0
drained, 1 cannot listen, 2 wrong settings.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import sys
from datetime import timedelta

import structlog
import uvloop

from egress.access import Access
from egress.compose import direct_route
from egress.proxy import EgressProxy
from egress.settings import BadSettings, Settings
from fleet.environment import BadSettingFile

log = structlog.get_logger("egress")


def main() -> int:
    """Returns the exit code."""
    try:
        settings = Settings.from_environment(os.environ)
    except (BadSettings, BadSettingFile) as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - there is no log before there are settings
        return 2
    _log_as_json(settings.egress_log_level)
    _open_many_files()
    try:
        uvloop.run(_run(settings))
    except OSError as exc:
        log.error("cannot_listen", bind=settings.egress_bind, error=str(exc))
        return 1
    return 0


async def _run(settings: Settings) -> None:
    limits = settings.limits(settings.egress_total_connections)
    proxy = EgressProxy(direct_route(settings, limits), limits, _write_down)
    leaving, at_once = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (at_once if leaving.is_set() else leaving).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        secrets = settings.secrets()
        address = await proxy.listen(proxy.open_listener(secrets), settings.host, settings.port)
        log.info("listening", address=address, credentials="required" if secrets else "none")
        await leaving.wait()
        log.info("draining", at_most_s=settings.egress_drain_s)
        ends = [
            asyncio.create_task(proxy.drain(timedelta(seconds=settings.egress_drain_s))),
            asyncio.create_task(at_once.wait()),
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    finally:
        await proxy.stop()
    log.info("ended", connections=proxy.totals.connections)


def _write_down(access: Access) -> None:
    log.info("access", **access.fields())


def _open_many_files() -> None:
    """Each connection takes two; what a shell allows by default is a thousand."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _log_as_json(level: str) -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
    )


if __name__ == "__main__":
    sys.exit(main())
