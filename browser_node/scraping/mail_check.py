"""Whether anybody takes mail for an address: its domain's MX records, asked of the machine's resolver.

Off unless a node is told to (``LEADFLEET_CHECK_MX``): it tells a resolver which businesses are read, and costs time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from email_validator import EmailUndeliverableError, caching_resolver, validate_email

from browser_node.scraping.types import Extractor
from leads.model import Lead

if TYPE_CHECKING:
    from dns.resolver import Resolver

ANSWER_S = 3
"""For one record; a resolver that is slower knows nothing, and what is not known is kept."""
MAX_DOMAINS = 10
"""Of one page: a page that names more is a directory, or wants the node to ask on its behalf."""

log = structlog.get_logger(__name__)


class DeliverableOnly:
    """An extractor whose leads lack the addresses that no server takes mail for.

    Such a domain does not exist or says that it takes none; where the answer is missing the address stays. Answers
    are remembered for as long as their records say.
    """

    def __init__(self, inner: Extractor, resolver: Resolver | None = None) -> None:
        self._inner = inner
        self._resolver = caching_resolver(timeout=ANSWER_S, dns_resolver=resolver)

    async def extract(self, html: str, url: str) -> list[Lead]:
        """As the inner extractor, and at most `MAX_DOMAINS` questions later."""
        found = await self._inner.extract(html, url)
        dead = await self._dead_domains(email for lead in found for email in lead.emails)
        return [_without(lead, dead) for lead in found] if dead else found

    async def _dead_domains(self, emails: Iterable[str]) -> set[str]:
        samples = list({_domain(email): email for email in emails}.values())[:MAX_DOMAINS]
        answers = await asyncio.gather(*(asyncio.to_thread(self._takes_mail, email) for email in samples))
        dead = {_domain(email) for email, takes in zip(samples, answers, strict=True) if not takes}
        if dead:
            log.info("undeliverable", domains=sorted(dead))
        return dead

    def _takes_mail(self, email: str) -> bool:
        try:
            validate_email(email, check_deliverability=True, dns_resolver=self._resolver)
        except EmailUndeliverableError:
            return False
        return True


def _domain(email: str) -> str:
    return email.rpartition("@")[2]


def _without(lead: Lead, domains: set[str]) -> Lead:
    emails = [email for email in lead.emails if _domain(email) not in domains]
    details = [detail for detail in lead.email_details if detail.address in emails]
    provenance = {name: known for name, known in lead.provenance.items() if name != "emails" or emails}
    return lead.model_copy(update={"emails": emails, "email_details": details, "provenance": provenance})
