"""Hypercorn's connections, ended when their client has gone.

Hypercorn 0.18 leaves two helpers of a connection running after its client has closed it, and the connection with them:
the keep-alive timer, so that a socket stays in CLOSE_WAIT for the whole keep-alive timeout (75 s with us: a fleet's
health checks alone would hold thousands), and the sleep between two WebSocket pings, which also holds up a shutdown.
`tests/integration/control_plane/api/test_process.py` counts sockets; when a newer Hypercorn passes it without
`install`, this file goes.
"""

from __future__ import annotations

from typing import Any, cast

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.protocol import ws_stream

LOOK_EVERY_S = 1.0
"""How long a closed WebSocket may go unnoticed by its ping timer."""


class Connection(TCPServer):
    """A connection whose keep-alive timer ends with what there is to read."""

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()


async def send_pings(stream: ws_stream.WSStream) -> None:
    """In place of ``WSStream._send_pings``: sleeps in short steps, and not past the end of the socket."""
    interval_s = stream.config.websocket_ping_interval or 0.0
    while not stream.closed:
        await stream._send_wsproto_event(cast("Any", ws_stream).Ping())  # noqa: SLF001 - see above
        slept_s = 0.0
        while slept_s < interval_s and not stream.closed:
            await stream.context.sleep(min(LOOK_EVERY_S, interval_s - slept_s))
            slept_s += LOOK_EVERY_S


def install() -> None:
    """Use them for every server of this process that starts from now on."""
    cast("Any", hypercorn.asyncio.run).TCPServer = Connection
    cast("Any", ws_stream.WSStream)._send_pings = send_pings  # noqa: SLF001 - see above
