"""Who a request comes from when proxies stand in front: the client, as the outermost of ours saw it.

Each proxy appends the address it was called from to ``X-Forwarded-For``. What a client wrote itself therefore stands
before the entries of our own proxies, and only as many of the last ones as there are proxies can be believed.
"""

from __future__ import annotations

from typing import Any

from fleet.addresses import is_address

_SECURE = {"http": "https", "ws": "wss"}


class Forwarded:
    """ASGI middleware that puts the client's address and scheme in the place of the nearest proxy's.

    ``hops`` is how many proxies append to ``X-Forwarded-For``, at least 1. A request with fewer entries than that came
    in behind them, a health check for instance, and keeps the address it has. ``X-Forwarded-Host`` is not looked at:
    proxies pass ``Host`` on, and a page could forge the other one and pass the gate's check.
    """

    def __init__(self, app: Any, hops: int) -> None:
        self._app, self._hops = app, hops

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            scope = self._seen_from_outside(scope)
        await self._app(scope, receive, send)

    def _seen_from_outside(self, scope: dict[str, Any]) -> dict[str, Any]:
        path = _values(scope, b"x-forwarded-for")
        if len(path) < self._hops or not is_address(path[-self._hops]):
            return scope
        seen = {**scope, "client": (path[-self._hops], 0)}
        # proxies write this one anew rather than append to it: the last value is the nearest one's, whatever the hops
        if _values(scope, b"x-forwarded-proto")[-1:] == ["https"]:
            seen["scheme"] = _SECURE.get(scope["scheme"], scope["scheme"])
        return seen


def _values(scope: dict[str, Any], wanted: bytes) -> list[str]:
    """All values of a header that is a list, in order, over all lines of that name."""
    lines = (value.decode("latin-1") for name, value in scope["headers"] if name.lower() == wanted)
    return [value.strip() for line in lines for value in line.split(",")]
