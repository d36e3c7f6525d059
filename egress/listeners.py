"""Who takes the proxy's connections, and how it is known whose they are: by the port, or by credentials."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence

from egress.connection import Connection
from egress.head import RequestHead, proof_in
from egress.refused import Refused
from egress.routes import PROOF
from fleet.addresses import normal_host
from fleet.credentials import BadCredentials, Holder, holder_of
from fleet.refusals import Category

REFUSALS_KEPT = 256

NAMELESS_OF_A_PEER = 128
"""Connections that have not said yet what they want: who opens many and says nothing loses the oldest. The head of a
request is there a turn of the loop after its connection, and a turn takes 100 of those."""

NAMELESS = 1024
"""The same of all peers: whoever has many addresses."""

OnCap = Callable[[str], None]


class Listener:
    """Base of both kinds; connections enter and leave."""

    def __init__(self) -> None:
        self.address = ""
        """``host:port``, once it listens."""
        self.connections: set[Connection] = set()
        self._nameless: dict[Connection, str] = {}
        """With the address of the peer, the oldest first."""
        self._of_peer: Counter[str] = Counter()

    def enter(self, connection: Connection, peer: str) -> None:
        self.connections.add(connection)
        self._nameless[connection] = peer
        self._of_peer[peer] += 1
        if self._of_peer[peer] > NAMELESS_OF_A_PEER:
            self._give_up(next(each for each, of in self._nameless.items() if of == peer))
        elif len(self._nameless) > NAMELESS:
            self._give_up(next(iter(self._nameless)))

    def leave(self, connection: Connection) -> None:
        self.connections.remove(connection)
        self.identified(connection)

    def identified(self, connection: Connection) -> None:
        peer = self._nameless.pop(connection, None)
        if peer is not None:
            self._of_peer[peer] -= 1
            if not self._of_peer[peer]:
                del self._of_peer[peer]

    def _give_up(self, silent: Connection) -> None:
        self.identified(silent)
        silent.end("it said nothing and others wait")

    def holder_of(self, request: RequestHead) -> Holder:
        raise NotImplementedError

    def own_answer(self, raw: bytes) -> bytes:
        return b""

    def reached(self, host: str) -> None: ...

    def refused(self, host: str, refusal: Refused) -> None: ...

    def capped(self, holder: Holder, category: Category, words: str) -> None: ...


class SlotListener(Listener):
    """Of a slot of the agent, on loopback: its connections are the unit's that it is lent to.

    So a page cannot pass for another unit: it reaches the proxy by its Chrome alone. Between two units nobody gets
    through: what a Chrome asks for then is on no unit's account.
    """

    def __init__(self, node: str, forget: Callable[[Holder], None]) -> None:
        super().__init__()
        self._node, self._forget = node, forget
        self._holder: Holder | None = None
        self._on_cap: OnCap = _nobody
        self._told: set[str] = set()
        self._spent = False
        self._refusals: OrderedDict[str, Category] = OrderedDict()

    def lend(self, unit: str, fence: int, on_cap: OnCap) -> None:
        """Connections that are made from now on are the unit's. ``on_cap`` hears of each cap that it meets, once."""
        self._holder, self._on_cap = Holder(self._node, unit, fence), on_cap
        self._told.clear()
        self._spent = False
        self._refusals.clear()

    def free(self) -> None:
        """The unit is over: its connections are cut and what it used is forgotten. Harmless when called again."""
        holder, self._holder, self._on_cap = self._holder, None, _nobody
        if holder is not None:
            for connection in self.connections:
                connection.end("the unit is over")
            self._forget(holder)

    def refusal(self, host: str) -> Category | None:
        """Why the last connection to ``host`` was refused, or that all will be; None when neither holds."""
        return Category.SPENT if self._spent else self._refusals.get(normal_host(host))

    def holder_of(self, request: RequestHead) -> Holder:
        if self._holder is None:
            raise Refused(Category.NO_UNIT, f"no unit has this slot of {self._node}")
        return self._holder

    def reached(self, host: str) -> None:
        self._refusals.pop(host, None)

    def refused(self, host: str, refusal: Refused) -> None:
        self._refusals[host] = refusal.category
        self._refusals.move_to_end(host)
        if len(self._refusals) > REFUSALS_KEPT:
            self._refusals.popitem(last=False)

    def capped(self, holder: Holder, category: Category, words: str) -> None:
        if holder == self._holder:
            self._spent |= category is Category.SPENT
            if words not in self._told:
                self._told.add(words)
                self._on_cap(words)


class OpenListener(Listener):
    """Of a process of its own: whoever connects proves who they are. It also answers ``GET /health``, and `PROOF`.

    Without ``secrets`` everybody is the node ``local``; the settings allow that on loopback alone. ``state`` says what
    health answers with: 200 while its ``status`` is ``ready``.
    """

    def __init__(self, secrets: Sequence[str], state: Callable[[], dict[str, str | int]]) -> None:
        super().__init__()
        self._secrets, self._state = secrets, state

    def holder_of(self, request: RequestHead) -> Holder:
        return self._proven(request.authorization)

    def own_answer(self, raw: bytes) -> bytes:
        if raw.startswith(b"GET /health HTTP/1."):
            state = self._state()
            return _json("200 OK" if state["status"] == "ready" else "503 Service Unavailable", state)
        if raw.startswith(f"GET {PROOF} HTTP/1.".encode()):
            return _json("200 OK", {"user": self._proven(proof_in(raw)).user})
        return b""

    def _proven(self, authorization: str | None) -> Holder:
        if not self._secrets:
            return Holder("local")
        try:
            return holder_of(self._secrets, authorization)
        except BadCredentials as exc:
            raise Refused(Category.UNPROVEN, exc.reason) from exc


def _nobody(words: str) -> None: ...


def _json(status: str, members: dict[str, str | int]) -> bytes:
    body = json.dumps(members)
    fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
    return f"HTTP/1.1 {status}\r\n{fields}\r\n\r\n{body}".encode()
