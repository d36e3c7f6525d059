"""``python -m control_plane``: one replica on Hypercorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys

import structlog
import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config
from pydantic import ValidationError

from control_plane import collector, connections
from control_plane.app import create_app
from control_plane.services import EXTENSION
from control_plane.settings import Settings
from control_plane.telemetry import configure_logging
from fleet.cancellation import end_all
from fleet.environment import BadSettingFile

KEEP_ALIVE_S = 75  # above the 60 s of a load balancer, so that it never reuses a connection we have just closed
GRACEFUL_S = 5
PING_INTERVAL_S = 20  # below every idle timeout on the way, and what notices a viewer that vanished
MAX_WEBSOCKET_MESSAGE = 64 * 1024  # clients say "ping" and acknowledgements
MAX_HEADERS = 16 * 1024
BACKLOG = 1_024  # 200 viewers that lost their replica come at once

SEND_STALL_MS = 8_000
"""A client that takes nothing for this long is cut off by the kernel: Hypercorn has no write timeout, and closing
politely would wait for the very client that does not read."""

SEND_BUFFER = 256 * 1024
"""Bytes the kernel holds for one client. By default it grows to megabytes, which for a picture stream means
seconds of old pictures, and for a client that never reads memory it does not deserve."""


def main() -> int:
    """Serve until SIGTERM or SIGINT, the second of which ends the delay. 2 when the settings are wrong."""
    try:
        settings = Settings()
    except ValidationError as exc:
        for error in exc.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in error["loc"])
            sys.stderr.write(f"LEADFLEET_{name.upper()}: {error['msg']}\n" if name else f"{error['msg']}\n")
        return 2
    except BadSettingFile as exc:
        sys.stderr.write(f"{exc}\n")
        return 2
    configure_logging(settings.log_level, replica=settings.replica)
    uvloop.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    stopping, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_ignore_cancelled_connections)

    def stop() -> None:
        (hurry if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    app = create_app(settings)

    async def until_stopped() -> None:
        await stopping.wait()
        # Nobody may be sent here any more before connections end: a load balancer asks for readiness now and then.
        app.extensions[EXTENSION].stopping = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), settings.stop_delay.total_seconds())
        # Streams never end by themselves; told now, their clients go to another replica within the grace.
        app.extensions[EXTENSION].hub.stop()

    connections.install()
    collector.collect_less()
    collecting = asyncio.create_task(collector.collect_when_quiet(app.extensions[EXTENSION].turnstile))
    config = server_config(listen(settings.host, settings.port))
    try:
        await serve(app, config, shutdown_trigger=until_stopped)
    finally:
        await end_all([collecting])
    structlog.get_logger(__name__).info("stopped")


def _ignore_cancelled_connections(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Python 3.11 reports a connection's task that a shutdown cancelled as an exception in its callback."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket whose connections inherit the limits above."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_STALL_MS)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listening.bind((host, port))
    listening.setblocking(False)
    return listening


def server_config(listening: socket.socket) -> Config:
    """Hypercorn's settings; it owns and closes the socket from here on."""
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]
    config.backlog = BACKLOG
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.graceful_timeout = GRACEFUL_S
    config.websocket_ping_interval = PING_INTERVAL_S
    config.websocket_max_message_size = MAX_WEBSOCKET_MESSAGE
    config.h11_max_incomplete_size = MAX_HEADERS
    config.include_server_header = False
    config.accesslog = None  # its lines would hold query strings, and those hold tokens; the app logs its own
    config.errorlog = logging.getLogger("hypercorn.error")
    return config


if __name__ == "__main__":
    sys.exit(main())
