"""MX records: asked of a name server on loopback, which knows four domains."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from browser_node.scraping.mail_check import DeliverableOnly
from leads.extract import extract
from leads.model import Lead

RECORDS = {
    ("mill.org.", "MX"): "10 mail.mill.org.",
    ("plain.org.", "A"): "93.184.216.34",
    ("refuses.org.", "MX"): "0 .",
}
BROKEN = "broken.org."  # its server fails: nothing is known of it


class NameServer(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(), question.rdtype.name
        self.asked.append(name)
        answer = dns.message.make_response(query)
        if name == BROKEN:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif (name, kind) in RECORDS:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, RECORDS[name, kind]))
        elif name not in {known for known, _ in RECORDS}:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(answer.to_wire(), addr)


class InProcess:
    """The extractor without its process."""

    async def extract(self, html: str, url: str) -> list[Lead]:
        return extract(html, url)


@pytest.fixture
async def server() -> AsyncIterator[tuple[NameServer, dns.resolver.Resolver]]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], transport.get_extra_info("sockname")[1]
    try:
        yield protocol, resolver
    finally:
        transport.close()


async def test_addresses_that_nobody_takes_mail_for_are_left_out(
    server: tuple[NameServer, dns.resolver.Resolver],
) -> None:
    asked, resolver = server
    page = "<p>a@mill.org b@mill.org c@plain.org d@refuses.org e@gone.org f@broken.org</p>"
    checking = DeliverableOnly(InProcess(), resolver)
    (lead,) = await checking.extract(page, "https://mill.org/")
    assert lead.emails == ["a@mill.org", "b@mill.org", "c@plain.org", "f@broken.org"]
    assert [detail.address for detail in lead.email_details] == lead.emails
    assert asked.asked.count("mill.org.") == 1
    await checking.extract("<p>z@mill.org</p>", "https://mill.org/")
    assert asked.asked.count("mill.org.") == 1  # remembered


async def test_a_lead_without_an_address_left_says_nothing_of_where_it_came_from(
    server: tuple[NameServer, dns.resolver.Resolver],
) -> None:
    (lead,) = await DeliverableOnly(InProcess(), server[1]).extract("<p>e@gone.org</p>", "https://mill.org/")
    assert (lead.emails, "emails" in lead.provenance) == ([], False)
