"""What a site answers with: values that the server turns into HTTP. A site is a function of path and query."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """A whole answer; it is sent after ``delay_s`` seconds."""

    body: bytes
    content_type: str = HTML
    status: int = 200
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect to a path of the same site or to a whole URL."""

    location: str
    status: int = 301


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer at all, until the client gives up."""


@dataclass(frozen=True, slots=True)
class Flood:
    """A page of ``size`` bytes: ``head``, filler, ``tail``."""

    head: bytes
    filler: bytes
    tail: bytes
    size: int


Reply = Page | Redirect | Hang | Flood


class Site(Protocol):
    """One host of the town."""

    def reply(self, path: str, query: Mapping[str, str]) -> Reply | None:
        """The answer for a path (no query string in it), or None for 404."""
        ...


@dataclass(slots=True)
class StaticSite:
    """A site of fixed pages by path; the query is ignored, as most sites do."""

    pages: dict[str, Reply] = field(default_factory=dict)

    def reply(self, path: str, query: Mapping[str, str]) -> Reply | None:
        """The page at ``path``; a trailing slash makes no difference."""
        return self.pages.get(path.rstrip("/") or "/")


def html(markup: str, *, status: int = 200, delay_s: float = 0.0) -> Page:
    """A page of HTML."""
    return Page(markup.encode(), HTML, status, delay_s)


def text(body: str, content_type: str = "text/plain; charset=utf-8") -> Page:
    """A page of plain text, or of another text type."""
    return Page(body.encode(), content_type)


def as_json(value: object) -> Page:
    """A JSON answer."""
    return Page(json.dumps(value, ensure_ascii=False).encode(), "application/json")
