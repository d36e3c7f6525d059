"""Chrome's words, HTTP's numbers and the egress proxy's reasons as one set of codes."""

from __future__ import annotations

import pytest

from browser_node.scraping.errors import OURS, SaidByProxy, from_chrome, from_egress, from_status
from fleet.refusals import Category


@pytest.mark.parametrize(
    ("message", "code", "retryable"),
    [
        ("net::ERR_NAME_NOT_RESOLVED at http://x/", "dns", False),
        ("net::ERR_TUNNEL_CONNECTION_FAILED", "tunnel", True),
        ("net::ERR_TOO_MANY_REDIRECTS", "redirect_loop", False),
        ("net::ERR_CONNECTION_RESET", "unreachable", True),
        ("net::ERR_EMPTY_RESPONSE", "unreachable", True),
        ("net::ERR_TIMED_OUT", "page_timeout", True),
        ("net::ERR_CERT_DATE_INVALID", "tls", False),
        ("net::ERR_ABORTED; maybe frame was detached?", "navigation", True),
        ("net::ERR_UNSAFE_REDIRECT", "bad_scheme", False),
        ("Page.goto: Download is starting", "not_html", False),
        ("something new", "navigation", True),
    ],
)
def test_chrome(message: str, code: str, retryable: bool) -> None:
    failure = from_chrome(message, "http://x/")
    assert (failure.code, failure.retryable) == (code, retryable)


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (200, {}, None),
        (404, {}, ("http_404", False)),
        (429, {}, ("http_429", True)),
        (503, {}, ("http_503", True)),
    ],
)
def test_status(status: int, headers: dict[str, str], expected: tuple[str, bool] | None) -> None:
    failure = from_status(status, headers, "http://x/", "http://x/")
    assert (failure and (failure.code, failure.retryable)) == expected


def test_an_answer_in_the_proxys_name_is_told_from_a_sites_by_where_it_came_from() -> None:
    headers = {"x-leadfleet-egress": "spent"}
    plain = from_status(429, headers, "http://x/", "http://y.example/moved")
    assert isinstance(plain, SaidByProxy)
    assert (plain.code, plain.host) == ("http_429", "y.example")
    assert not isinstance(from_status(429, headers, "http://x/", "https://y.example/"), SaidByProxy)
    assert not isinstance(from_status(429, {"x-leadfleet-egress": "nonsense"}, "http://x/", "http://x/"), SaidByProxy)
    assert from_status(200, headers, "http://x/", "http://x/") is None


@pytest.mark.parametrize("category", Category)
def test_each_category_is_a_code_and_a_sentence(category: Category) -> None:
    failure = from_egress(category, "https://x/")
    assert failure.detail == f"https://x/ was not reached: {category.sentence}"
    assert (failure.code in OURS) == (category in {
        Category.CAP, Category.SPENT, Category.FULL, Category.NO_UNIT, Category.UNPROVEN, Category.NO_WAY_OUT,
    })  # fmt: skip
