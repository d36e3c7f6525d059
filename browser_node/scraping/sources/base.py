"""What a source is: it decides, purely, which pages to visit and what leads they give.

A source never awaits, fetches or keeps anything: what it must remember from page to page is text in a map
that the runner carries in the unit's checkpoint. So the same source object answers the same for the same
arguments, and a unit resumes anywhere.

To add a platform, write one file with a ``Source`` in this folder and name it in ``sources.SOURCES``.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from browser_node.scraping.options import UnitOptions
from leads.model import Lead


class Reads(StrEnum):
    """What the runner gets out of a page before it asks the source.

    ``leads``: its businesses; ``sitemap``: the addresses in an XML sitemap, which is fetched without a browser and
    does not count as a page.
    """

    LEADS = "leads"
    SITEMAP = "sitemap"


@dataclass(frozen=True, slots=True)
class Visit:
    """A page to visit. Lower ``priority`` goes first; ``label`` is for people ("contact page"); ``data`` is the
    source's own note to itself, returned with the page."""

    url: str
    reads: Reads = Reads.LEADS
    kind: str = "page"
    depth: int = 0
    priority: int = 0
    label: str = "page"
    data: str = ""

    def to_json(self) -> str:
        """Compact; the reverse of ``from_json``."""
        values = [self.url, self.reads, self.kind, self.depth, self.priority, self.label, self.data]
        return json.dumps(values, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Visit:
        """ValueError when ``text`` is not what ``to_json`` wrote."""
        try:
            url, reads, kind, depth, priority, label, data = json.loads(text)
            return cls(str(url), Reads(reads), str(kind), int(depth), int(priority), str(label), str(data))
        except (TypeError, ValueError) as exc:
            raise ValueError(f"not a visit: {text[:80]!r}") from exc


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page: canonical address and the text people click on."""

    url: str
    text: str


@dataclass(frozen=True, slots=True)
class PageView:
    """A visited page. ``url`` is where the visit ended after redirects; ``sitemaps`` are those that the site's
    robots.txt names."""

    visit: Visit
    url: str
    title: str = ""
    links: Sequence[Link] = ()
    leads: Sequence[Lead] = ()
    sitemaps: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What a source makes of a page.

    ``leads`` are businesses told about for the first time, ``grown`` those whose lead got richer, ``remember`` what
    changes in the source's state, ``note`` a sentence for the log.
    """

    visits: Sequence[Visit] = ()
    leads: Sequence[Lead] = ()
    grown: Sequence[Lead] = ()
    remember: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


class Source(ABC):
    """One platform, for one query."""

    NAME: ClassVar[str]
    PAGE_CAP: ClassVar[int]
    DEPTH_CAP: ClassVar[int]

    def __init__(self, query: str, options: UnitOptions) -> None:
        self.query = query
        self.options = options
        self.page_cap = options.page_cap or self.PAGE_CAP
        self.depth_cap = self.DEPTH_CAP if options.depth_cap is None else options.depth_cap

    @abstractmethod
    def seeds(self) -> Sequence[Visit]:
        """Where to begin. ``BadQuery`` when the query is nothing to begin with."""

    @abstractmethod
    def after(self, page: PageView, state: Mapping[str, str]) -> Step:
        """What a visited page gives. ``state`` is all that earlier steps remembered."""

    def failed(self, visit: Visit, state: Mapping[str, str]) -> Step:
        """What is left to tell when a page could not be had after all retries."""
        return Step()
