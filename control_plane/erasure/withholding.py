"""What a batch of a node may tell of its tenant's opted-out: nothing. Pure."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import orjson
from pydantic import ValidationError

from control_plane.erasure.checkpoints import is_blocked
from control_plane.erasure.opt_outs import Kind, OptOut, OptOutList
from fleet.messages import Batch
from leads.identity import lead_id
from leads.model import Lead

_URL = re.compile(r"https?://[^\s\"'<>\\]+")


def withhold(batch: Batch, tenant: str, listed: OptOutList) -> tuple[Batch, int]:
    """The batch without what is opted out, and how many leads that were.

    With a lead go the boxes around its numbers and lines of the log that name a page of its own; lines that name a page
    of an opted-out domain, and what the checkpoint would remember, go as well. Shapes are not checked here: what is
    malformed is left for who does.
    """
    if not listed.digests:
        return batch, 0
    results, numbers, pages, others = [], set(), set(), set()
    for raw in batch.results:
        lead = _lead(raw)
        if lead is not None and listed.blocks(lead, lead_id(tenant, lead)):
            numbers |= {phone.normalized_e164 or phone.raw for phone in lead.phones}
            pages.add(lead.source_url)
        else:
            results.append(raw)
            others.add(lead.source_url if lead else None)
    kept = dataclasses.replace(
        batch,
        results=results,
        events=[event for raw in batch.events if (event := _event(raw, listed, numbers, pages - others))],
        set={name: value for name, value in batch.set.items() if not _in_checkpoint(tenant, listed, name, value)},
    )
    return kept, len(batch.results) - len(results)


def _lead(raw: object) -> Lead | None:
    try:
        return Lead.model_validate(raw)
    except ValidationError:
        return None


def _event(event: Any, listed: OptOutList, numbers: set[str], pages: set[str | None]) -> Any | None:
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(data, dict):
        return event
    text = orjson.dumps(data, default=str).decode("utf-8", "replace")
    named = {url.rstrip(".,:;)") for url in _URL.findall(text)}
    if any(listed.blocks_url(url) for url in named) or (event.get("kind") == "log" and named & pages):
        return None
    boxes = data.get("boxes")
    if not isinstance(boxes, list):
        return event
    left = [box for box in boxes if not _is_blocked_box(box, listed, numbers)]
    return event | {"data": data | {"boxes": left}} if left or not boxes else None


def _is_blocked_box(box: object, listed: OptOutList, numbers: set[str]) -> bool:
    number = box.get("phone") if isinstance(box, dict) else None
    if not isinstance(number, str):
        return False
    return number in numbers or OptOut(Kind.PHONE, number).digest(listed.key) in listed.digests


def _in_checkpoint(tenant: str, listed: OptOutList, name: str, value: object) -> bool:
    return isinstance(value, str) and is_blocked(tenant, listed, name, value)
