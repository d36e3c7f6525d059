"""One POST to an address a client chose: to the public Internet and nowhere else.

The name is resolved here, once, and the connection goes to an address that was looked at: the URL that aiohttp gets
holds the address, so there is no second look-up in which a name could turn inwards. Host header and TLS name stay the
receiver's. With a way out, all of that is the egress proxy's: it looks the name up, under the same rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import aiohttp

from control_plane.admission import DEFAULT_PORTS, refuse_webhook
from control_plane.way_out import WayOut, refusal_in, refusal_of
from control_plane.webhooks.verdict import Answered, Unreached
from fleet.addresses import Allowance
from fleet.destinations import (
    Destination,
    Destinations,
    ForbiddenAddress,
    NoDestination,
    Resolve,
    UnknownName,
)

TIMEOUT = timedelta(seconds=10)
"""From the look-up of the name to the status of the answer."""

CONNECT_TIMEOUT = timedelta(seconds=3)
"""To one address, so that one which is dead leaves time for the next."""

ADDRESSES_TRIED = 3

READ_AHEAD = 4 << 10
"""Bytes of an answer's body that may arrive before it is cut off. None is read: its status is all that counts."""


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

    @property
    def url(self) -> str:
        """The whole of it, with the host as name servers have it."""
        return f"{self.scheme}://{self.authority}{self.rest}"

    def at(self, address: str, port: int) -> str:
        """The same URL with an address in the place of the name."""
        return f"{self.scheme}://{_authority(address, port)}{self.rest}"


class Post:
    """Sends webhooks. To be made inside a running loop and closed with ``aclose``."""

    def __init__(self, allowance: Allowance, resolve: Resolve | None = None, *, way_out: WayOut | None = None) -> None:
        self._allowance, self._way_out = allowance, way_out
        # receivers are seldom the same, and one that has moved is to be found at the next attempt
        self._destinations = Destinations(allowance, resolve=resolve, fresh=timedelta(0))
        self._session = aiohttp.ClientSession(
            # Receivers are many and seldom the same: no connection is kept, and how many there are is the sender's.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT.total_seconds()),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # what is not read need not be unpacked
            read_bufsize=READ_AHEAD,
        )

    async def aclose(self) -> None:
        self._destinations.close()
        await self._session.close()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered | Unreached:
        """POST ``body`` to ``url``; answers within TIMEOUT and raises nothing."""
        reason = refuse_webhook(url, self._allowance)  # again: what is allowed may have changed since the task began
        if reason:
            return Unreached(reason)
        target = Target.of(url)
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                if self._way_out is not None:
                    return await self._through(self._way_out, target, headers, body)
                found = await self._destination(target)
                return found if isinstance(found, Unreached) else await self._exchange(target, found, headers, body)
        except TimeoutError:
            return Unreached(f"{target.host} did not answer within {TIMEOUT.total_seconds():g} s")

    async def _through(
        self, way_out: WayOut, target: Target, headers: Mapping[str, str], body: bytes
    ) -> Answered | Unreached:
        """Ask the proxy, which answers by itself when it does not connect."""
        try:
            async with self._session.post(
                target.url, data=body, allow_redirects=False, **way_out.options(target.url, headers)
            ) as response:
                response.close()
                said = refusal_in(response)
                return Answered(response.status) if said is None else Unreached(f"{target.host}: {said.sentence}")
        except aiohttp.ClientHttpProxyError as exc:
            return Unreached(f"{target.host}: {refusal_of(exc).sentence}")
        except aiohttp.ClientProxyConnectionError:
            return Unreached("the egress proxy takes no connection")
        except aiohttp.ClientError as exc:
            return Unreached(_in_words(exc, target.host))

    async def _destination(self, target: Target) -> Destination | Unreached:
        try:
            return await self._destinations.find(target.host, target.port)
        except UnknownName:
            return Unreached(f"the name {target.host} is not known")
        except ForbiddenAddress:
            return Unreached(f"{target.host} leads to an address that is not on the public Internet")
        except NoDestination as exc:
            return Unreached(f"{target.host} cannot be reached: {exc}")

    async def _exchange(
        self, target: Target, destination: Destination, headers: Mapping[str, str], body: bytes
    ) -> Answered | Unreached:
        """Ask the first address that takes the connection; what fails after that is not tried elsewhere."""
        unreached = Unreached("")
        for address in destination.addresses[:ADDRESSES_TRIED]:
            try:
                async with self._session.post(
                    target.at(address, destination.port),
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
