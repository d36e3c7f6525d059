"""One POST to an address a client chose: to the public Internet and nowhere else.

The name is resolved here, once, and the connection goes to an address that was looked at: the URL that aiohttp gets
holds the address, so there is no second look-up in which a name could turn inwards. Host header and TLS name stay the
receiver's.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp

from control_plane.admission import DEFAULT_PORTS, refuse_webhook
from control_plane.webhooks.verdict import Answered, Unreached
from fleet.addresses import Allowance, is_public

TIMEOUT = timedelta(seconds=10)
"""From the look-up of the name to the status of the answer."""

CONNECT_TIMEOUT = timedelta(seconds=3)
"""To one address, so that one which is dead leaves time for the next."""

ADDRESSES_TRIED = 3

READ_AHEAD = 4 << 10
"""Bytes of an answer's body that may arrive before it is cut off. None is read: its status is all that counts."""

LOOKUPS = 32
"""Threads for names. Ours, not the loop's: a name server that stalls must not keep other look-ups of the process."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""All addresses of a host; raises OSError or UnicodeError for a name that has none."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts; ``host`` as name servers and certificates have it, ``rest`` is path and query."""

    scheme: str
    host: str
    port: int
    rest: str

    @classmethod
    def of(cls, url: str) -> Target:
        """``url`` has passed `admission.refuse`: its host can be looked up."""
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        query = f"?{parts.query}" if parts.query else ""
        return cls(parts.scheme, host, parts.port or DEFAULT_PORTS[parts.scheme], f"{parts.path or '/'}{query}")

    @property
    def authority(self) -> str:
        """The Host header."""
        return _authority(self.host, None if self.port == DEFAULT_PORTS[self.scheme] else self.port)

    def at(self, address: str, port: int) -> str:
        """The same URL with an address in the place of the name."""
        return f"{self.scheme}://{_authority(address, port)}{self.rest}"


class Post:
    """Sends webhooks. To be made inside a running loop and closed with ``aclose``."""

    def __init__(self, allowance: Allowance, resolve: Resolve | None = None) -> None:
        self._allowance = allowance
        self._lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="webhook-names")
        self._resolve = resolve or self._look_up
        self._session = aiohttp.ClientSession(
            # Receivers are many and seldom the same: no connection is kept, and how many there are is the sender's.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT.total_seconds()),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # what is not read need not be unpacked
            read_bufsize=READ_AHEAD,
        )

    async def aclose(self) -> None:
        await self._session.close()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered | Unreached:
        """POST ``body`` to ``url``; answers within TIMEOUT and raises nothing."""
        reason = refuse_webhook(url, self._allowance)  # again: what is allowed may have changed since the task began
        if reason:
            return Unreached(reason)
        target = Target.of(url)
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                found = await self._destination(target)
                return found if isinstance(found, Unreached) else await self._exchange(target, *found, headers, body)
        except TimeoutError:
            return Unreached(f"{target.host} did not answer within {TIMEOUT.total_seconds():g} s")

    async def _destination(self, target: Target) -> tuple[list[str], int] | Unreached:
        """Addresses and port to connect to: what was allowed by name, or the name's own when all are public."""
        host, port = target.host, target.port
        allowed = self._allowance.target(host, port)
        if allowed is not None:
            return [allowed[0]], allowed[1]
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):
            return Unreached(f"the name {host} is not known")
        if not addresses or not all(map(is_public, addresses)):
            return Unreached(f"{host} leads to an address that is not on the public Internet")
        return addresses[:ADDRESSES_TRIED], port

    async def _exchange(
        self, target: Target, addresses: list[str], port: int, headers: Mapping[str, str], body: bytes
    ) -> Answered | Unreached:
        """Ask the first address that takes the connection; what fails after that is not tried elsewhere."""
        unreached = Unreached("")
        for address in addresses:
            try:
                async with self._session.post(
                    target.at(address, port),
                    headers={**headers, "Host": target.authority},
                    server_hostname=target.host,
                    data=body,
                    allow_redirects=False,
                ) as response:
                    response.close()
                    return Answered(response.status)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
                unreached = Unreached(_in_words(exc, target.host))
            except aiohttp.ClientError as exc:
                return Unreached(_in_words(exc, target.host))
        return unreached

    async def _look_up(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._lookups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _in_words(error: aiohttp.ClientError, host: str) -> str:
    """aiohttp's own sentences may hold the whole URL, and clients put secrets into it."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"the certificate of {host} does not verify"
    if isinstance(error, aiohttp.ClientSSLError):
        return f"{host} and we could not agree on TLS"
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return f"{host} takes no connection"
    return f"{host} ended the exchange without an answer ({type(error).__name__})"


def _authority(host: str, port: int | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    return shown if port is None else f"{shown}:{port}"
