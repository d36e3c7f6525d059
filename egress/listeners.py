"""Who takes the proxy's connections, and how it is known whose they are: by the port, or by credentials."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

from egress.connection import Connection
from egress.head import RequestHead
from egress.refused import PROOF_MISSING, SPENT, Refused
from fleet.addresses import normal_host
from fleet.credentials import BadCredentials, Holder, holder_of

REFUSALS_KEPT = 256

NAMELESS = 256
"""Connections of one peer that have not said yet what they want: Chrome opens a few ahead, an attacker opens all."""

HEALTH = b"GET /health HTTP/1."

OnCap = Callable[[str], None]


class Listener:
    """Base of both kinds; connections enter and leave."""

    def __init__(self) -> None:
        self.address = ""
        """``host:port``, once it listens."""
        self.connections: dict[Connection, str] = {}
        self._nameless: Counter[str] = Counter()

    def has_room(self, peer: str) -> bool:
        return self._nameless[peer] < NAMELESS

    def enter(self, connection: Connection, peer: str) -> None:
        self.connections[connection] = peer
        self._nameless[peer] += 1

    def leave(self, connection: Connection) -> None:
        peer = self.connections.pop(connection)
        if connection.holder is None:
            self._named(peer)

    def identified(self, connection: Connection) -> None:
        self._named(self.connections[connection])

    def _named(self, peer: str) -> None:
        self._nameless[peer] -= 1
        if not self._nameless[peer]:
            del self._nameless[peer]

    def holder_of(self, request: RequestHead) -> Holder:
        raise NotImplementedError

    def own_answer(self, raw: bytes) -> bytes:
        return b""

    def refused(self, host: str, refusal: Refused) -> None: ...

    def capped(self, holder: Holder, reason: str) -> None: ...


class OwnListener(Listener):
    """Of the agent, on loopback: its connections are the unit's that it is lent to, or the node's own.

    Each slot has one, so a page cannot pass for another unit: it reaches the proxy by its Chrome alone.
    """

    def __init__(self, node: str, forget: Callable[[Holder], None]) -> None:
        super().__init__()
        self._nobody = self._holder = Holder(node)
        self._forget = forget
        self._on_cap: OnCap | None = None
        self._told: set[str] = set()
        self._refusals: OrderedDict[str, str] = OrderedDict()

    def lend(self, unit: str, fence: int, on_cap: OnCap) -> None:
        """Connections that are made from now on are the unit's. ``on_cap`` hears of each cap that it meets, once."""
        self._holder, self._on_cap = Holder(self._nobody.node, unit, fence), on_cap
        self._told.clear()
        self._refusals.clear()

    def free(self) -> None:
        """The unit is over: its connections are cut and what it used is forgotten. Harmless when called again."""
        holder, self._holder, self._on_cap = self._holder, self._nobody, None
        if holder != self._nobody:
            for connection in list(self.connections):
                if connection.holder == holder:
                    connection.end("the unit is over")
            self._forget(holder)

    def refusal(self, host: str) -> str:
        """Why the last refused request to ``host`` was refused, or that all will be; empty when neither holds."""
        spent = (reason for reason in self._told if reason.startswith(SPENT))
        return next(spent, "") or self._refusals.get(normal_host(host), "")

    def holder_of(self, request: RequestHead) -> Holder:
        return self._holder

    def refused(self, host: str, refusal: Refused) -> None:
        self._refusals[host] = refusal.reason
        self._refusals.move_to_end(host)
        if len(self._refusals) > REFUSALS_KEPT:
            self._refusals.popitem(last=False)

    def capped(self, holder: Holder, reason: str) -> None:
        if holder == self._holder and self._on_cap is not None and reason not in self._told:
            self._told.add(reason)
            self._on_cap(reason)


class OpenListener(Listener):
    """Of a process of its own: whoever connects proves who they are. It also answers ``GET /health``.

    Without ``secrets`` everybody is the node ``local``; the settings allow that on loopback alone. ``state`` says what
    health answers with: 200 while its ``status`` is ``ready``.
    """

    def __init__(self, secrets: Sequence[str], state: Callable[[], dict[str, str | int]]) -> None:
        super().__init__()
        self._secrets, self._state = secrets, state

    def holder_of(self, request: RequestHead) -> Holder:
        if not self._secrets:
            return Holder("local")
        try:
            return holder_of(self._secrets, request.authorization)
        except BadCredentials as exc:
            raise Refused(PROOF_MISSING, exc.reason) from exc

    def own_answer(self, raw: bytes) -> bytes:
        if not raw.startswith(HEALTH):
            return b""
        state = self._state()
        body = json.dumps(state).encode()
        status = b"200 OK" if state["status"] == "ready" else b"503 Service Unavailable"
        return (
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b"
            % (status, len(body), body)
        )  # fmt: skip
