"""A page in, its businesses out: ``extract(html, url)``.

Pure: no network, no clock, no state. The passes, in order: parse the page into lines (`document`), read its
structured data (`structured`, `businesses`), weigh which country each line speaks of (`evidence`), find phones and
e-mails (`contacts`), addresses and names in the layout, and hand every finding to the business it belongs to
(`assembly`).
"""

from __future__ import annotations

from leads.extract.assembly import assemble
from leads.extract.document import parse
from leads.model import Lead

__all__ = ["extract"]


def extract(html: str, url: str) -> list[Lead]:
    """The businesses of a page, the page's own first; empty if it tells of none.

    ``url`` is where the page was read from: it resolves links and its domain is evidence. Never raises for
    what ``html`` holds; time grows linearly with its size.
    """
    return assemble(parse(html, url))
