"""``python -m tests.integration.egress.fetches``: what our own processes fetch, run inside a namespace.

Reads ``{"webhooks": [url], "unseen": [url], "mail": [address]}`` and writes ``{"webhooks": [outcome], "unseen":
[outcome], "mail": [address that was kept]}``. ``unseen`` are webhooks whose text nobody has looked at before.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from browser_node.scraping.mail_check import DeliverableOnly
from control_plane.webhooks import post
from fleet.addresses import Allowance
from leads.model import Lead


class _Reader:
    """An extractor that finds what it is given."""

    def __init__(self, emails: list[str]) -> None:
        self._emails = emails

    async def extract(self, html: str, url: str) -> list[Lead]:
        return [Lead(display_name=email, emails=[email], source_url=url) for email in self._emails]


async def _send(urls: list[str]) -> list[str]:
    sender = post.Post(Allowance())
    outcomes = []
    try:
        for url in urls:
            try:
                outcomes.append(repr(await sender.send(url, {}, b"{}")))
            except ValueError as exc:  # of a URL that admission would not have let come so far
                outcomes.append(f"Unreached({exc})")
    finally:
        await sender.aclose()
    return outcomes


async def _run(asked: dict[str, list[str]]) -> dict[str, Any]:
    told: dict[str, Any] = {"webhooks": await _send(asked["webhooks"])}
    seen, post.refuse_webhook = post.refuse_webhook, lambda url, allowance: None
    told["unseen"] = await _send(asked["unseen"])
    post.refuse_webhook = seen
    found = []
    for email in asked["mail"]:  # one page each: a page may have its node ask about a few domains only
        found += await DeliverableOnly(_Reader([email])).extract("", "http://site.example/")
    told["mail"] = [email for lead in found for email in lead.emails]
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_run(json.load(sys.stdin)))))
