"""The frontier of a unit as a map of text to text that changes by small deltas.

Keys: ``v:<digest>`` a page that is done, ``f:<digest>`` a page to visit (its place in line and its ``Visit``),
``s:<name>`` what the source remembers, ``n:<name>`` counts. A page being visited is still in the frontier, so a
unit that dies fetches again only what its tabs had open.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from browser_node.scraping.sources.base import Visit

MAX_ENTRIES = 2_000
MAX_CHARS = 256_000
"""The whole map, keys and values: it travels inside one command when a unit is leased again."""


@dataclass(slots=True)
class Delta:
    """A change of the map: ``set`` then ``unset`` never name the same key."""

    set: dict[str, str] = field(default_factory=dict)
    unset: list[str] = field(default_factory=list)


class Checkpoint:
    """What is done, what is to be done, and what the source remembers. Every change appends to ``delta()``."""

    def __init__(self, saved: Mapping[str, object] | None = None) -> None:
        self._map: dict[str, str] = {}
        self._chars = 0
        self._line: list[tuple[int, int, str, Visit]] = []
        self._arrivals = 0
        self._delta = Delta()
        self.dropped = 0
        for key, value in (saved or {}).items():
            self._restore(key, str(value))
        self._delta = Delta()

    @property
    def done(self) -> int:
        """How many pages are done."""
        return sum(1 for key in self._map if key.startswith("v:"))

    @property
    def waiting(self) -> int:
        """How many pages are in line, without those handed out."""
        return len(self._line)

    @property
    def state(self) -> dict[str, str]:
        """What the source remembers."""
        return {key[2:]: value for key, value in self._map.items() if key.startswith("s:")}

    def count(self, name: str) -> int:
        """A count, 0 when it was never raised."""
        return int(self._map.get(f"n:{name}", "0"))

    def raise_count(self, name: str, by: int) -> None:
        if by:
            self._set(f"n:{name}", str(self.count(name) + by))

    def as_map(self) -> dict[str, str]:
        """The whole map, as a fresh attempt would get it."""
        return dict(self._map)

    def add(self, visits: Iterable[Visit]) -> int:
        """Put pages in line that are neither done nor in it; returns how many. A full checkpoint drops them."""
        added = 0
        for visit in visits:
            digest = _digest(visit.url)
            if f"v:{digest}" in self._map or f"f:{digest}" in self._map:
                continue
            if not self._set(f"f:{digest}", f"{self._arrivals} {visit.to_json()}"):
                self.dropped += 1
                continue
            self._push(visit, digest)
            added += 1
        return added

    def next(self) -> Visit | None:
        """The first page in line, which stays in the map until ``finish``."""
        return heapq.heappop(self._line)[3] if self._line else None

    def put_back(self, visit: Visit) -> None:
        """A page that was handed out, and not finished, is in line again."""
        self._push(visit, _digest(visit.url))

    def finish(self, visit: Visit, *also: str) -> None:
        """A page is done, under its own address and under those in ``also`` (where it redirected to)."""
        for url in (visit.url, *also):
            digest = _digest(url)
            self._unset(f"f:{digest}")
            self._set(f"v:{digest}", "1")
        self._line = [entry for entry in self._line if f"f:{entry[2]}" in self._map]
        heapq.heapify(self._line)

    def is_done(self, url: str) -> bool:
        return f"v:{_digest(url)}" in self._map

    def remember(self, state: Mapping[str, str]) -> None:
        """Change what the source remembers; what does not fit is not kept, and counted in ``dropped``."""
        for name, value in state.items():
            if not self._set(f"s:{name}", value):
                self.dropped += 1

    def delta(self) -> Delta:
        """All changes since the last call."""
        taken, self._delta = self._delta, Delta()
        return taken

    def _restore(self, key: str, value: str) -> None:
        if not key.startswith("f:"):
            self._set(key, value)
            return
        place, _, text = value.partition(" ")
        try:
            visit = Visit.from_json(text)
            self._arrivals = int(place)
        except ValueError:
            return  # written by a version that knew another Visit: the page is found again through its links
        self._set(key, value)
        self._push(visit, key[2:])

    def _push(self, visit: Visit, digest: str) -> None:
        heapq.heappush(self._line, (visit.priority, self._arrivals, digest, visit))
        self._arrivals += 1

    def _set(self, key: str, value: str) -> bool:
        old = self._map.get(key)
        grown = len(value) - len(old) if old is not None else len(key) + len(value)
        is_record = key.startswith(("v:", "n:"))  # what was done must never be forgotten: bounded by the page cap
        full = self._chars + grown > MAX_CHARS or (old is None and len(self._map) >= MAX_ENTRIES)
        if full and not is_record:
            return False
        if old != value:
            self._map[key] = value
            self._chars += grown
            self._delta.set[key] = value
            if key in self._delta.unset:
                self._delta.unset.remove(key)
        return True

    def _unset(self, key: str) -> None:
        old = self._map.pop(key, None)
        if old is None:
            return
        self._chars -= len(key) + len(old)
        self._delta.set.pop(key, None)
        self._delta.unset.append(key)


def _digest(url: str) -> str:
    """72 bits: enough to tell 1,000 pages apart, short enough to carry."""
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=9).hexdigest()
