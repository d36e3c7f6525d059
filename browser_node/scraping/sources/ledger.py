"""The businesses a unit knows so far, so that one seen on several pages is one lead that grows.

Pure: the ledger is read from and written to the source's state (``l<n>`` → lead as JSON). It only decides about one
site, where less is needed to know a business again than between sites (``leads.identity``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from browser_node.scraping.wanted import Wanted
from leads.identity import fold_name, merge, observation_id, same_business
from leads.model import Lead

MAX_KNOWN = 60
"""Businesses of one site that are followed over its pages; chains with more shops have one page for each."""


def tells_more(lead: Lead, known: Lead) -> bool:
    """Whether ``lead`` says anything that ``known`` did not; where and how surely it was found does not count."""
    return _content(lead) != _content(known)


def of_one_site(known: Lead, seen: Lead) -> bool:
    """Whether two leads of one site are one business: as anywhere, or by their very name if nothing speaks against.

    A site rarely has two shops of one name that show neither an address nor a phone to tell them apart.
    """
    if same_business(known, seen):
        return True
    name = fold_name(known.display_name)
    return bool(name) and name == fold_name(seen.display_name) and not _told_apart(known, seen)


class Ledger:
    """The known businesses in a state. ``record`` them; then ``changes`` is what the state must take over."""

    def __init__(self, state: Mapping[str, str], wanted: Wanted | None = None) -> None:
        self._wanted = wanted or Wanted()
        self.changes: dict[str, str] = {}
        self._known: dict[str, tuple[Lead, bool]] = {}
        for name, text in state.items():
            if re.fullmatch(r"l\d+", name):
                told, _, lead = text.partition(" ")
                self._known[name] = (Lead.model_validate_json(lead), told == "1")

    def record(self, page: Sequence[Lead]) -> tuple[list[Lead], list[Lead]]:
        """``(new, grown)``: what to tell of the leads of one page of the site."""
        fresh: list[Lead] = []
        grown: list[Lead] = []
        for lead in page:
            name = self._find(lead, alone=len(page) == 1)
            if name is None and len(self._known) >= MAX_KNOWN:
                if lead in self._wanted:
                    fresh.append(lead)
                continue
            known, told = self._known[name] if name is not None else (None, False)
            merged = lead if known is None else merge([known, lead])
            if known is not None and not tells_more(merged, known):
                continue
            tell = merged in self._wanted
            if tell:
                (grown if told else fresh).append(merged)
            name = name or f"l{len(self._known)}"
            self._known[name] = (merged, told or tell)
            kept = merged.model_dump_json(exclude_none=True, exclude={"description", "score_reasons"})
            self.changes[name] = f"{int(told or tell)} {kept}"
        return fresh, grown

    def _find(self, lead: Lead, *, alone: bool) -> str | None:
        for name, (known, _) in self._known.items():
            if of_one_site(known, lead):
                return name
        # the only business of a page and the only one of its site: pages often name it differently
        if alone and len(self._known) == 1:
            name, (known, _) = next(iter(self._known.items()))
            return None if known.address and lead.address else name
        return None


def _content(lead: Lead) -> str:
    return observation_id("", lead.model_copy(update={"source_url": None}))


def _told_apart(known: Lead, seen: Lead) -> bool:
    """Both have an address, or both a phone, and ``same_business`` did not take them for the same."""
    return bool((known.address and seen.address) or (known.phones and seen.phones))
