"""One question to an OpenAI-compatible endpoint: ``POST <url>/chat/completions``.

The address is the operator's own setting, so loopback and private networks are fine; redirects are not followed, for
where they lead was never set, and the key would go along. Where the control plane has a way out, the endpoint is
reached through it, unless its URL itself names an address inside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp
import orjson

from control_plane.way_out import WayOut, is_inside, refusal_in, refusal_of
from fleet.refusals import Category
from leads.enrichment import ANSWER_SCHEMA

MAX_BODY = 1 << 20
"""Bytes of an answer: fifty leads take some 25 KB. More is no answer."""

MAX_RETRY_AFTER = timedelta(hours=1)
"""An endpoint that asks for more is asked again after this: it may have erred, and its operator may have helped."""

_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "leads", "strict": True, "schema": ANSWER_SCHEMA},
}
SHAPES: tuple[tuple[str, Mapping[str, Any] | None], ...] = (
    ("max_tokens", _FORMAT),
    ("max_completion_tokens", _FORMAT),
    ("max_tokens", {"type": "json_object"}),
    ("max_tokens", None),
)
"""Ways to ask, best first: how the length is bounded, and the ``response_format``. An endpoint that answers one of
them with 400 is asked the next way from then on."""

Kind = Literal[
    "unreachable", "broken", "timeout", "rate_limited", "server_error", "unauthorized", "rejected", "malformed"
]


@dataclass(frozen=True, slots=True)
class Reply:
    """The text that the model gave; token counts as the endpoint says, ``None`` where it says none that can be."""

    content: str
    prompt_tokens: int | None
    completion_tokens: int | None


@dataclass(frozen=True, slots=True)
class Failure:
    """There was no text. ``detail`` is a sentence without secrets."""

    kind: Kind
    detail: str
    retry_after: timedelta | None = None

    @property
    def may_have_cost(self) -> bool:
        """Whether the model may have worked for it."""
        return self.kind in {"broken", "timeout", "malformed"}


class Endpoint:
    """To be made inside a running loop and closed with ``aclose``."""

    def __init__(
        self, url: str, key: str | None, model: str, timeout: timedelta, *, way_out: WayOut | None = None
    ) -> None:
        self._url = f"{url.rstrip('/')}/chat/completions"
        self._way_out = None if is_inside(url) else way_out
        self.model, self._timeout = model, timeout
        self._shape = 0
        # not the session's: aiohttp would say them to the proxy, the key as well
        self._headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # nothing we asked for is packed, and a small bomb must not become a large one
        )

    async def aclose(self) -> None:
        await self._session.close()

    async def ask(self, messages: Sequence[Mapping[str, str]], max_tokens: int) -> Reply | Failure:
        """Answers within the timeout, whatever the endpoint does, and raises nothing."""
        try:
            async with asyncio.timeout(self._timeout.total_seconds()):
                return await self._in_some_shape(messages, max_tokens)
        except TimeoutError:
            return Failure("timeout", f"no answer within {self._timeout.total_seconds():g} s")
        except aiohttp.ClientHttpProxyError as exc:
            return _not_reached(refusal_of(exc))
        except aiohttp.ClientProxyConnectionError:
            return Failure("unreachable", "the egress proxy takes no connection")
        except aiohttp.ClientConnectorError:
            return Failure("unreachable", "the endpoint takes no connection")
        except (aiohttp.ClientError, ValueError, OSError) as exc:
            return Failure("broken", f"the exchange ended without an answer ({type(exc).__name__})")

    async def _in_some_shape(self, messages: Sequence[Mapping[str, str]], max_tokens: int) -> Reply | Failure:
        began = self._shape
        for shape in range(began, len(SHAPES)):
            bound, response_format = SHAPES[shape]
            body: dict[str, Any] = {"model": self.model, "messages": messages, bound: max_tokens}
            if response_format is not None:
                body["response_format"] = response_format
            answer = await self._post(orjson.dumps(body))
            if answer is not None:
                # Another question may have come to a plainer shape meanwhile; it stays with that.
                self._shape = max(shape, self._shape)
                return answer
        self._shape = 0  # none was understood: the shape was not what it objected to
        return Failure("rejected", "the endpoint understands none of the ways we ask (status 400)")

    async def _post(self, body: bytes) -> Reply | Failure | None:
        """``None`` where the endpoint does not take this shape."""
        way_out = self._way_out
        options = {"headers": self._headers} if way_out is None else way_out.options(self._url, self._headers)
        async with self._session.post(self._url, data=body, allow_redirects=False, **options) as response:
            if way_out is not None and (refused := refusal_in(response)) is not None:
                return _not_reached(refused)
            if response.status in {400, 422}:
                return None
            if response.status != 200:
                return _failure(response.status, response.headers.get("Retry-After"))
            read = bytearray()
            async for chunk in response.content.iter_any():
                read += chunk
                if len(read) > MAX_BODY:
                    return Failure("malformed", f"the answer is longer than {MAX_BODY} bytes")
            return _reply(bytes(read))


def retry_after(header: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header asks for, seconds or a date, between nothing and MAX_RETRY_AFTER; ``None`` if absent or
    not understood."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdecimal():
        pause = timedelta(seconds=min(int(text[:9]), MAX_RETRY_AFTER.total_seconds()))
    else:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        pause = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
    return min(max(pause, timedelta(0)), MAX_RETRY_AFTER)


def _not_reached(refused: Category) -> Failure:
    return Failure("unreachable", f"the egress proxy does not reach the endpoint: {refused.sentence}")


def _failure(status: int, header: str | None) -> Failure:
    pause = retry_after(header, datetime.now(UTC))
    if status in {401, 402, 403}:
        return Failure("unauthorized", f"the endpoint refuses our key or account (status {status})", pause)
    if status == 429:
        return Failure("rate_limited", "we ask too often (status 429)", pause)
    if status >= 500 or status in {408, 425}:
        return Failure("server_error", f"the endpoint fails (status {status})", pause)
    return Failure("rejected", f"the endpoint does not take the question (status {status})")


def _reply(body: bytes) -> Reply | Failure:
    try:
        told = orjson.loads(body)
        content = told["choices"][0]["message"]["content"]
        usage = told.get("usage")
    except (orjson.JSONDecodeError, AttributeError, IndexError, KeyError, TypeError):
        return Failure("malformed", "the answer is no chat completion")
    if not isinstance(content, str):
        return Failure("malformed", "the answer holds no text")
    counts = usage if isinstance(usage, dict) else {}
    return Reply(content, _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens")))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
