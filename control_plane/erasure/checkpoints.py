"""What a unit's checkpoint holds of a business or a site: pages in line, and leads that its source remembers. Pure.

The two forms are the agent's (``browser_node.scraping.checkpoint`` and ``sources.ledger``): a page in line is a list in
JSON behind its place, a known lead is a Lead in JSON behind a mark. What does not parse holds neither.
"""

from __future__ import annotations

import re

import orjson
from pydantic import ValidationError

from control_plane.erasure.opt_outs import OptOutList
from leads.identity import lead_id
from leads.model import Lead

_LEAD = re.compile(r"s:l\d+")


def is_blocked(tenant: str, listed: OptOutList, name: str, value: str) -> bool:
    """Whether an entry of a checkpoint is about something that is opted out."""
    _, _, told = value.partition(" ")
    if name.startswith("f:"):
        try:
            url = orjson.loads(told)[0]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return False
        return isinstance(url, str) and listed.blocks_url(url)
    if _LEAD.fullmatch(name):
        try:
            lead = Lead.model_validate_json(told)
        except ValidationError:
            return False
        return listed.blocks(lead, lead_id(tenant, lead))
    return False
