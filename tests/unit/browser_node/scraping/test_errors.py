"""Chrome's words, HTTP's numbers and the egress proxy's reasons as one set of codes."""

from __future__ import annotations

import pytest

from browser_node.scraping.errors import from_chrome, from_egress, from_status


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
        (403, {"x-leadfleet-egress": "refused non-public address 10.0.0.1"}, ("refused_address", False)),
        (502, {"x-leadfleet-egress": "unknown name nowhere.test"}, ("dns", False)),
        (504, {"x-leadfleet-egress": "no answer"}, ("page_timeout", True)),
    ],
)
def test_status(status: int, headers: dict[str, str], expected: tuple[str, bool] | None) -> None:
    failure = from_status(status, headers, "http://x/")
    assert (failure and (failure.code, failure.retryable)) == expected


def test_a_refusal_behind_a_tunnel_is_told_by_its_reason_alone() -> None:
    assert from_egress(502, "refused non-public address 127.0.0.1", "https://x/").code == "refused_address"
