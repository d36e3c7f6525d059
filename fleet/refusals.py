"""What the egress proxy says in the place of a site: that it is the one who speaks, and of what kind its reason is.

Whoever asked may be a page, or a tenant who reads what became of it. They are told the category; addresses, names of
our own machines and what others use stay in the proxy's access log.
"""

from __future__ import annotations

from enum import StrEnum

HEADER = "X-Leadfleet-Egress"
"""Holds the category, in answers to plain requests and to CONNECT that are the proxy's own. What comes through a tunnel
is never the proxy's."""


class Category(StrEnum):
    """Why the proxy did not connect; the value is what `HEADER` holds."""

    MALFORMED = "malformed"
    FORBIDDEN = "forbidden"
    UNKNOWN_NAME = "unknown_name"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CAP = "cap"
    SPENT = "spent"
    FULL = "full"
    NO_UNIT = "no_unit"
    UNPROVEN = "unproven"
    NO_WAY_OUT = "no_way_out"

    @property
    def sentence(self) -> str:
        """For tenants, who may know all of it."""
        return _SENTENCES[self]

    @classmethod
    def of(cls, value: str | None) -> Category | None:
        """Of the header's ``value``; None where it is absent or says nothing that we know."""
        return cls(value) if value in _SENTENCES else None


_SENTENCES = {
    Category.MALFORMED: "the request is malformed",
    Category.FORBIDDEN: "it is not a web site on the public Internet",
    Category.UNKNOWN_NAME: "the name is unknown",
    Category.UNREACHABLE: "nobody answers there",
    Category.TIMEOUT: "no answer came in time",
    Category.CAP: "as many connections are open as may be",
    Category.SPENT: "the unit has moved as many bytes as it may",
    Category.FULL: "the egress proxy is full",
    Category.NO_UNIT: "no unit runs there",
    Category.UNPROVEN: "the egress proxy does not know who asks",
    Category.NO_WAY_OUT: "the way out is not there at the moment",
}
