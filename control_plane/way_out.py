"""The egress proxy that the control plane's own requests leave through, where ``LEADFLEET_EGRESS_PROXY`` names one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from control_plane.settings import Settings
from fleet.addresses import BadHost, is_loopback, is_public, spelled, usable_host
from fleet.credentials import CONTROL_PLANE, Holder, authorization, node_key
from fleet.refusals import HEADER, Category


@dataclass(frozen=True, slots=True)
class WayOut:
    """Its address, and how this replica proves itself to it."""

    url: str
    proof: Mapping[str, str]

    @classmethod
    def of(cls, proxy: str, secret: str, replica: str) -> WayOut:
        """``proxy`` is ``host:port``; ``secret`` is the one that the proxy has."""
        proof = authorization(node_key(secret, CONTROL_PLANE), Holder.replica(replica))
        return cls(f"http://{proxy}", {"Proxy-Authorization": proof})

    @classmethod
    def set_in(cls, settings: Settings) -> WayOut | None:
        """None: out directly."""
        if not settings.egress_proxy:
            return None
        assert settings.egress_secret is not None  # the settings see to it
        return cls.of(settings.egress_proxy, settings.egress_secret.get_secret_value(), settings.replica)

    def options(self, url: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """Of an aiohttp request to ``url`` with these ``headers``."""
        # without a tunnel the request itself is what the proxy reads; it passes on what is not its own
        plain = self.proof if urlsplit(url).scheme == "http" else {}
        return {"headers": {**headers, **plain}, "proxy": self.url, "proxy_headers": dict(self.proof)}


def refusal_in(response: aiohttp.ClientResponse) -> Category | None:
    """Why the proxy did not connect, where the answer to a plain request is its own."""
    return Category.of(response.headers.get(HEADER)) if response.url.scheme == "http" else None


def refusal_of(error: aiohttp.ClientHttpProxyError) -> Category:
    """Why the proxy made no tunnel."""
    return Category.of(error.headers.get(HEADER) if error.headers is not None else None) or Category.NO_WAY_OUT


def is_inside(url: str) -> bool:
    """Whether ``url`` says itself that it leads into the operator's own network: an address there, or ``localhost``."""
    try:
        host = usable_host(urlsplit(url).hostname or "")
        address = spelled(host)
    except BadHost:
        return False
    return is_loopback(host) if address is None else not is_public(address)
