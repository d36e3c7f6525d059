"""egress.head: what the proxy reads from a request head, and what it will not pass on."""

from __future__ import annotations

import pytest

from egress.head import parse_head
from egress.refused import Refused


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode()


def test_absolute_form_becomes_origin_form_without_the_hops_own_headers() -> None:
    request = parse_head(
        head(
            "GET http://Shop.example:8080/a%20b?q=1 HTTP/1.1",
            "Host: somewhere-else.example",
            "Proxy-Connection: keep-alive",
            "Proxy-Authorization: Basic c2VjcmV0",
            "Connection: keep-alive, X-Hop",
            "X-Hop: 1",
            "Upgrade: websocket",
            "Accept: */*",
        )
    )
    assert (request.method, request.host, request.port, request.length) == ("GET", "shop.example", 8080, 0)
    assert request.head == head("GET /a%20b?q=1 HTTP/1.1", "Host: Shop.example:8080", "Accept: */*")


def test_what_frames_a_body_goes_on_whatever_the_client_calls_hop_by_hop() -> None:
    """Without it the origin would take the body for the next request."""
    for field in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        request = parse_head(
            head("POST http://a.example/ HTTP/1.1", field, f"Connection: {field.partition(':')[0]}, close")
        )
        assert request.head == head("POST / HTTP/1.1", "Host: a.example", "Connection: close", field)


def test_connect_names_its_target() -> None:
    request = parse_head(head("CONNECT [2606:4700::1]:443 HTTP/1.1", "Host: x"))
    assert (request.method, request.host, request.port, request.head) == ("CONNECT", "2606:4700::1", 443, b"")


def test_a_body_is_framed_by_its_length_or_by_chunks() -> None:
    assert parse_head(head("POST http://a.example/ HTTP/1.1", "Content-Length: 12")).length == 12
    assert parse_head(head("POST http://a.example/ HTTP/1.1", "Transfer-Encoding: chunked")).length is None


@pytest.mark.parametrize(
    ("status", "lines"),
    [
        (400, ["GET"]),
        (400, ["GET http://a.example/ HTTP/2.0"]),
        (400, ["get http://a.example/ HTTP/1.1"]),
        (400, ["GET http://a.example/ x HTTP/1.1"]),
        (400, ["GET http:///path HTTP/1.1"]),
        (400, ["GET http://a.example:0/ HTTP/1.1"]),
        (400, ["GET http://a.example:99999/ HTTP/1.1"]),
        (400, ["CONNECT a.example HTTP/1.1"]),
        (400, ["GET http://a.example/ HTTP/1.1", " folded: header"]),
        (400, ["GET http://a.example/ HTTP/1.1", "no colon"]),
        (400, ["GET http://a.example/ HTTP/1.1", "Space : x"]),
        (400, ["POST http://a.example/ HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: chunked"]),
        (400, ["POST http://a.example/ HTTP/1.1", "Content-Length: 1", "Content-Length: 2"]),
        (400, ["POST http://a.example/ HTTP/1.1", "Content-Length: -1"]),
        (400, ["POST http://a.example/ HTTP/1.1", "Transfer-Encoding: gzip, chunked"]),
        (403, ["GET ftp://a.example/ HTTP/1.1"]),
        (403, ["GET https://a.example/ HTTP/1.1"]),
        (403, ["GET /origin-form HTTP/1.1", "Host: 127.0.0.1"]),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(status: int, lines: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        parse_head(head(*lines))
    assert refused.value.status == status
