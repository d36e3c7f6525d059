"""Small text files over HTTP without a browser: robots.txt and sitemaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from browser_node.scraping.errors import VisitFailed, category_in, from_egress
from fleet.refusals import HEADER, Category

if TYPE_CHECKING:
    from collections.abc import Mapping

USER_AGENT_TOKEN = "Leadfleet"  # noqa: S105 - a product token (RFC 9110), the name robots.txt knows us by
USER_AGENT = f"Mozilla/5.0 (compatible; {USER_AGENT_TOKEN}/1.0)"

TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)
MAX_REDIRECTS = 5  # what RFC 9309 asks a crawler to follow at least


@dataclass(frozen=True, slots=True)
class Fetched:
    """An HTTP answer; ``body`` is cut at the limit that was asked for."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(http: aiohttp.ClientSession, url: str, *, proxy_url: str, limit: int) -> Fetched:
    """GET ``url`` through the egress proxy. Raises ``VisitFailed`` when no answer of the site came back."""
    try:
        async with http.get(
            url,
            proxy=proxy_url or None,
            timeout=TIMEOUT,
            max_redirects=MAX_REDIRECTS,
            headers={"User-Agent": USER_AGENT, "Accept": "text/plain, application/xml;q=0.9, */*;q=0.5"},
        ) as response:
            headers = {name.lower(): value for name, value in response.headers.items()}
            if (category := category_in(headers, str(response.url))) is not None:
                raise from_egress(category, url)
            body = await _read(response, limit)
            return Fetched(str(response.url), response.status, headers, body)
    except aiohttp.TooManyRedirects as exc:
        raise VisitFailed("redirect_loop", f"{url} redirects more than {MAX_REDIRECTS} times") from exc
    except aiohttp.ClientHttpProxyError as exc:
        said = Category.of(exc.headers.get(HEADER) if exc.headers is not None else None)
        raise from_egress(said or Category.NO_WAY_OUT, url) from exc
    except aiohttp.ClientConnectorDNSError as exc:
        raise VisitFailed("dns", f"the host of {url} does not resolve") from exc
    except TimeoutError as exc:
        raise VisitFailed("page_timeout", f"{url} did not answer in {TIMEOUT.total:g} s", retryable=True) from exc
    except aiohttp.ClientSSLError as exc:
        raise VisitFailed("tls", f"{url} has no valid certificate") from exc
    except (aiohttp.ClientError, ValueError) as exc:
        raise VisitFailed("unreachable", f"{url} could not be fetched: {exc!r}"[:300], retryable=True) from exc


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(64 * 1024):
        parts.append(chunk)
        size += len(chunk)
        if size >= limit:
            break
    return b"".join(parts)[:limit]
