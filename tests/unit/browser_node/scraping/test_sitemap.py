"""Sitemaps, plain, packed, broken and of other sitemaps."""

from __future__ import annotations

import gzip

from browser_node.scraping.sitemap import MAX_ADDRESSES, addresses

PLAIN = b'<?xml version="1.0"?><urlset><url><loc> http://x.test/a?b=1&amp;c=2 </loc></url><url><loc>http://x.test/a'


def test_addresses_are_unescaped_and_half_a_file_is_read() -> None:
    assert [link.url for link in addresses(PLAIN + b"</loc>")] == ["http://x.test/a?b=1&c=2", "http://x.test/a"]
    assert [link.url for link in addresses(gzip.compress(PLAIN))] == ["http://x.test/a?b=1&c=2", "http://x.test/a"]


def test_an_index_names_sitemaps() -> None:
    index = b"<sitemapindex><sitemap><loc><![CDATA[http://x.test/s1.xml]]></loc></sitemap></sitemapindex>"
    assert [(link.url, link.text) for link in addresses(index)] == [("http://x.test/s1.xml", "sitemap")]


def test_garbage_and_floods_are_bounded() -> None:
    assert addresses(b"\x1f\x8bnot gzip") == ()
    many = b"".join(b"<loc>http://x.test/%d</loc>" % number for number in range(MAX_ADDRESSES + 50))
    assert len(addresses(many)) == MAX_ADDRESSES
