"""Where a connection to a host may go: the one place where that is decided, for all that leaves the fleet.

A name is looked up here, its addresses are checked, and whoever asked connects to one of those addresses and to nothing
else. So a name that turns to another address after the check changes nothing (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from types import MappingProxyType
from weakref import WeakValueDictionary

from fleet.addresses import Allowance, BadHost, Prefixes, is_public, spelled, usable_host
from fleet.errors import FleetError

NAMES_KEPT = 4096
NAMES_FRESH = timedelta(seconds=60)
"""A page opens dozens of connections to a few names; a resolver is asked once a minute for each."""

LOOK_UP_WITHIN = timedelta(seconds=10)

LOOK_UPS = 128
"""Threads for names. Not the loop's own few: a name server that stalls must not keep other look-ups waiting."""

WEB_PORTS = frozenset({80, 443})
FIRST_FREE_PORT = 1024
"""Sites do run on 8080 and 8443, but nothing on a mail or SSH port is a web site."""

_NOBODY: Mapping[str, int] = MappingProxyType({})

Resolve = Callable[[str], Awaitable[list[str]]]
"""All addresses of a name; raises OSError or UnicodeError for one that has none."""


class NoDestination(FleetError):
    """Nothing may be connected to. One of the classes below."""


class ForbiddenHost(NoDestination):
    """The host is neither a name nor an address."""


class ForbiddenPort(NoDestination):
    """Nothing on that port is a web site."""


class ForbiddenAddress(NoDestination):
    """No address of the host is on the public Internet."""


class UnknownName(NoDestination):
    """The name has no addresses."""


class SlowName(NoDestination):
    """No name server answered in time."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Connect to the first of ``addresses`` that answers, on ``port``."""

    addresses: tuple[str, ...]
    port: int


class Destinations:
    """Finds them. To be used inside one running loop and closed with `close`.

    ``denied`` are networks that are refused although they are public. ``fresh`` is how long an answer is used again.
    """

    def __init__(
        self,
        allowance: Allowance,
        *,
        denied: Prefixes = (),
        resolve: Resolve | None = None,
        fresh: timedelta = NAMES_FRESH,
    ) -> None:
        self._allowance, self._denied, self._fresh = allowance, denied, fresh
        self._threads = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="names")
        self._resolve = resolve or self._ask
        self._known: OrderedDict[str, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[tuple[str, ...]]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        """By asker: a name server that stalls costs whoever asked it, and nobody else, their look-ups."""

    def close(self) -> None:
        """End the look-ups."""
        for asking in self._asking.values():
            asking.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def find(self, host: str, port: int, askers: Mapping[str, int] = _NOBODY) -> Destination:
        """Where to connect to for ``host:port``. Raises NoDestination.

        ``askers`` are those on whose behalf it is asked, each with the look-ups that it may have at once.

        What was allowed by name goes to its target. Else the public addresses of the host: those of a mixed answer that
        are not public are left out, because a network with DNS64 gives every name one of them.
        """
        try:
            host = usable_host(host)
        except BadHost as exc:
            raise ForbiddenHost(f"refused host: {exc}") from exc
        allowed = self._allowance.target(host, port)
        if allowed is not None:
            return Destination((allowed[0],), allowed[1])
        if port not in WEB_PORTS and not FIRST_FREE_PORT <= port < 1 << 16:
            raise ForbiddenPort(f"refused port {port}")
        address = spelled(host)
        addresses = (str(address),) if address is not None else await self._addresses(host, askers)
        reachable = tuple(address for address in addresses if self._may_reach(address))
        if not reachable:
            raise ForbiddenAddress(f"refused non-public address {addresses[0]}")
        return Destination(reachable, port)

    def _may_reach(self, address: str) -> bool:
        return is_public(address) and not self._is_denied(address) and not is_this_machine(address)

    def _is_denied(self, address: str) -> bool:
        return bool(self._denied) and any(ip_address(address) in prefix for prefix in self._denied)

    async def _addresses(self, name: str, askers: Mapping[str, int]) -> tuple[str, ...]:
        """Of a name, never empty; those who ask for one name at once share one look-up, and wait each for its own."""
        try:
            async with asyncio.timeout(LOOK_UP_WITHIN.total_seconds()):
                return self._fresh_ones(name) or await asyncio.shield(
                    self._asking.get(name) or await self._begun(name, askers)
                )
        except TimeoutError as exc:
            raise SlowName(f"no answer for the name {name}") from exc

    def _fresh_ones(self, name: str) -> tuple[str, ...]:
        expires, addresses = self._known.get(name, (0.0, ()))
        return addresses if expires > asyncio.get_running_loop().time() else ()

    async def _begun(self, name: str, askers: Mapping[str, int]) -> asyncio.Task[tuple[str, ...]]:
        """A look-up, once it is our turn: until then nobody else waits for us, but begins one."""
        taken = []
        try:
            for asker, limit in askers.items():
                turn = self._turns.setdefault(asker, asyncio.Semaphore(limit))
                await turn.acquire()
                taken.append(turn)
        except asyncio.CancelledError:
            _release(taken)
            raise
        if (asking := self._asking.get(name)) is not None:
            _release(taken)
            return asking
        asking = self._asking[name] = asyncio.create_task(self._look_up(name), name="look-up")
        asking.add_done_callback(lambda done: self._asked(name, done, taken))
        return asking

    def _asked(self, name: str, done: asyncio.Task[tuple[str, ...]], turns: Sequence[asyncio.Semaphore]) -> None:
        """The turns last as long as the look-up does, although nobody may wait for it any more: it has a thread."""
        _release(turns)
        del self._asking[name]
        if not done.cancelled():
            done.exception()  # whoever asked may have left

    async def _look_up(self, name: str) -> tuple[str, ...]:
        if addresses := self._fresh_ones(name):
            return addresses
        try:
            addresses = tuple(dict.fromkeys(await self._resolve(name)))
        except (OSError, UnicodeError) as exc:
            raise UnknownName(f"unknown name {name}") from exc
        if not addresses:
            raise UnknownName(f"unknown name {name}")
        self._known[name] = (asyncio.get_running_loop().time() + self._fresh.total_seconds(), addresses)
        self._known.move_to_end(name)
        if len(self._known) > NAMES_KEPT:
            self._known.popitem(last=False)
        return addresses

    async def _ask(self, name: str) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        )
        return [str(entry[4][0]) for entry in found]


def is_this_machine(address: str) -> bool:
    """Whether an address is one of this machine's own, where a public one would lead to our own services.

    The kernel says which address it would send from; for an address of its own that is the address itself. Connecting
    a datagram socket sends nothing.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
            return ip_address(str(probe.getsockname()[0])) == ip_address(address)
    except OSError:
        return False  # no route, or no such family here: not ours either


def _release(turns: Sequence[asyncio.Semaphore]) -> None:
    for turn in turns:
        turn.release()
