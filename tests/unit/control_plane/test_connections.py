"""The ping timer of a WebSocket ends with its socket."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from control_plane.connections import LOOK_EVERY_S, send_pings

INTERVAL_S = 20.0


class Stream:
    """What `send_pings` sees of Hypercorn's stream; it is closed after so many seconds."""

    def __init__(self, closed_after_s: float) -> None:
        self.config = SimpleNamespace(websocket_ping_interval=INTERVAL_S)
        self.context = SimpleNamespace(sleep=self._sleep)
        self.pings, self.slept_s = 0, 0.0
        self._closed_after_s = closed_after_s

    @property
    def closed(self) -> bool:
        return self.slept_s >= self._closed_after_s

    async def _send_wsproto_event(self, event: object) -> None:
        self.pings += 1

    async def _sleep(self, seconds: float) -> None:
        self.slept_s += seconds


async def test_a_closed_socket_is_noticed_within_a_second() -> None:
    stream = Stream(closed_after_s=3.5)
    await send_pings(cast("Any", stream))
    assert (stream.pings, stream.slept_s) == (1, 3.5 + LOOK_EVERY_S / 2)


async def test_an_open_socket_is_pinged_every_interval() -> None:
    stream = Stream(closed_after_s=3 * INTERVAL_S)
    await send_pings(cast("Any", stream))
    assert (stream.pings, stream.slept_s) == (3, 3 * INTERVAL_S)
