"""What a task asks of its units, read leniently: the control plane has validated it, older ones may know less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from browser_node.scraping.wanted import Wanted

MAX_PAGE_CAP = 1_000
"""Pages of one unit, whatever is asked for: the checkpoint names each of them and holds 2,000 entries."""

MAX_DEPTH_CAP = 50


@dataclass(frozen=True, slots=True)
class UnitOptions:
    """``page_cap`` and ``depth_cap`` are None where the source's own default holds."""

    max_results: int | None = None
    respect_robots: bool = True
    render: bool = True
    wanted: Wanted = field(default_factory=Wanted)
    enrich_websites: bool = False
    page_cap: int | None = None
    depth_cap: int | None = None

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> UnitOptions:
        """The options in ``Run.options``; what is absent or of another type keeps its default."""
        return cls(
            max_results=_int(raw, "max_results", 1, 10_000_000),
            respect_robots=_bool(raw, "respect_robots", default=True),
            render=_bool(raw, "render", default=True),
            wanted=Wanted.parse(raw),
            enrich_websites=_bool(raw, "enrich_websites", default=False),
            page_cap=_int(raw, "page_cap", 1, MAX_PAGE_CAP),
            depth_cap=_int(raw, "depth_cap", 0, MAX_DEPTH_CAP),
        )


def _bool(raw: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = raw.get(name)
    return value if isinstance(value, bool) else default


def _int(raw: Mapping[str, Any], name: str, low: int, high: int) -> int | None:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return max(low, min(high, value))
