"""One spelling per page."""

from __future__ import annotations

import pytest

from browser_node.scraping.urls import canonical, may_be_page, site_of


@pytest.mark.parametrize(
    ("written", "canonical_form"),
    [
        ("HTTP://Example.COM:80", "http://example.com/"),
        ("https://example.com:8443/a#top", "https://example.com:8443/a"),
        ("https://example.com/a?utm_source=x&id=2&fbclid=y", "https://example.com/a?id=2"),
        ("https://example.com/a?b=1&a=2", "https://example.com/a?b=1&a=2"),
        ("https://example.com/über uns", "https://example.com/%C3%BCber%20uns"),
        ("https://example.com/%C3%BCber", "https://example.com/%C3%BCber"),
        ("http://[::1]:80/", "http://[::1]/"),
    ],
)
def test_two_spellings_of_a_page_are_one(written: str, canonical_form: str) -> None:
    assert canonical(written) == canonical_form
    assert canonical(canonical_form) == canonical_form


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "javascript:alert(1)", "file:///etc/passwd", "chrome://version", "http://", "http://a:b@c/",
     "http://x:99999/", "http://[::1/", "http://x/" + "a" * 3_000],
)  # fmt: skip
def test_what_is_no_web_address_is_none(url: str) -> None:
    assert canonical(url) is None


def test_www_is_the_same_site_and_a_port_another() -> None:
    assert site_of("http://www.x.test/a") == site_of("https://X.test/b") == "x.test"
    assert site_of("http://x.test:8080/") != site_of("http://x.test/")


def test_files_are_no_pages() -> None:
    assert not may_be_page("http://x.test/menu.PDF?v=2")
    assert may_be_page("http://x.test/about.html")
