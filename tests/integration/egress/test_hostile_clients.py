"""What a client could say to have the proxy, or the origin behind it, read something else than was checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.egress.world import SITE, World, ok, proof, proxy_in

PRIVATE = "GET http://10.0.0.1/ HTTP/1.1\r\nHost: 10.0.0.1\r\n"


@pytest.fixture(scope="module")
def proxied(trap: World) -> Iterator[World]:
    with proxy_in(trap):
        yield trap


def head(first: str, *fields: str) -> bytes:
    return ("\r\n".join([first, *fields]) + f"\r\n{proof()}\r\n").encode("latin-1")


def asked(world: World, raw: bytes) -> tuple[bytes, list[str]]:
    """The answer, and what the public site was asked for meanwhile; nothing went elsewhere."""
    world.visits.clear()
    answer = world.ask(raw)
    assert world.arrivals() == []
    return answer, list(world.visits)


GET, POST = "GET http://site.example/ HTTP/1.1", "POST http://site.example/ HTTP/1.1"
CHUNKED = "Transfer-Encoding: chunked"

REFUSED = {
    "length and chunks": (400, head(POST, "Content-Length: 5", CHUNKED) + b"0\r\n\r\n"),
    "chunks and length": (400, head(POST, CHUNKED, "Content-Length: 5") + b"0\r\n\r\n"),
    "two lengths": (400, head(POST, "Content-Length: 5", "Content-Length: 6")),
    "the same length twice": (400, head(POST, "Content-Length: 5", "Content-Length: 5")),
    "a list of lengths": (400, head(POST, "Content-Length: 5, 5")),
    "a signed length": (400, head(POST, "Content-Length: +5")),
    "a hex length": (400, head(POST, "Content-Length: 0x5")),
    "a negative length": (400, head(POST, "Content-Length: -1")),
    "a length of Arabic digits": (400, head(POST, "Content-Length: \u0661".encode().decode("latin-1"))),
    "a length without end": (400, head(POST, "Content-Length: 9999999999999")),
    "an empty length": (400, head(POST, "Content-Length:")),
    "another coding": (400, head(POST, "Transfer-Encoding: gzip, chunked")),
    "chunked twice": (400, head(POST, CHUNKED, CHUNKED)),
    "chunked and identity": (400, head(POST, "Transfer-Encoding: chunked, identity")),
    "nearly chunked": (400, head(POST, "Transfer-Encoding: xchunked")),
    "chunked with a vertical tab": (400, head(POST, "Transfer-Encoding: \x0bchunked")),
    "blank before the colon": (400, head(POST, "Transfer-Encoding : chunked")),
    "a folded line": (400, head(POST, "Transfer-Encoding:", " chunked")),
    "a line that begins with a blank": (400, head(GET, " Host: 10.0.0.1")),
    "a bare line feed": (400, head(GET, f"X: y\n{PRIVATE}")),
    "a bare carriage return": (400, head(GET, f"X: y\r{PRIVATE[:20]}")),
    "a NUL": (400, head(GET, "X: \0")),
    "a field without a name": (400, head(GET, ": x")),
    "a line without a colon": (400, head(GET, "nothing")),
    "no version": (400, head("GET http://site.example/")),
    "another version": (400, head("GET http://site.example/ HTTP/2.0")),
    "a version with a tail": (400, head("GET http://site.example/ HTTP/1.1x")),
    "HTTP/2 itself": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "two blanks": (400, head("GET  http://site.example/ HTTP/1.1")),
    "a tab": (400, head("GET\thttp://site.example/ HTTP/1.1")),
    "a method in lower case": (400, head("get http://site.example/ HTTP/1.1")),
    "a request line of its own before": (400, b"\r\n" + head(GET)),
    "a non-ASCII path": (400, head("GET http://site.example/ä HTTP/1.1")),
    "a control character in the path": (400, head("GET http://site.example/\x01 HTTP/1.1")),
    "a fragment": (400, head("GET http://site.example/#@10.0.0.1/ HTTP/1.1")),
    "no host": (400, head("GET http:///10.0.0.1/ HTTP/1.1")),
    "a tunnel with a body": (400, head("CONNECT site.example:443 HTTP/1.1", "Content-Length: 5") + b"hello"),
    "a tunnel with chunks": (400, head("CONNECT site.example:443 HTTP/1.1", CHUNKED)),
    "a tunnel to a URL": (400, head("CONNECT http://10.0.0.1/ HTTP/1.1")),
    "a tunnel without a port": (400, head("CONNECT 10.0.0.1 HTTP/1.1")),
    "a tunnel to two": (400, head("CONNECT site.example:443,10.0.0.1:80 HTTP/1.1")),
    "credentials twice": (400, head(GET, proof().strip())),
    "origin form": (403, head("GET / HTTP/1.1", "Host: 10.0.0.1")),
    "origin form with two slashes": (403, head("GET //10.0.0.1/ HTTP/1.1", "Host: site.example")),
    "asterisk form": (403, head("OPTIONS * HTTP/1.1", "Host: 10.0.0.1")),
    "one slash": (403, head("GET http:/10.0.0.1/ HTTP/1.1")),
    "no slash": (403, head("GET http:10.0.0.1/ HTTP/1.1")),
    "backslashes": (403, head("GET http:\\\\10.0.0.1\\ HTTP/1.1")),
    "https without a tunnel": (403, head("GET https://10.0.0.1/ HTTP/1.1")),
    "WebSocket without a tunnel": (403, head("GET ws://10.0.0.1/ HTTP/1.1")),
    "FTP": (403, head("GET ftp://10.0.0.1/ HTTP/1.1")),
    "a file": (403, head("GET file:///etc/passwd HTTP/1.1")),
    "gopher": (403, head("GET gopher://10.0.0.1:6379/_PING HTTP/1.1")),
    "a head of 65 KB in one field": (431, head(GET, "X: " + "x" * (65 << 10))),
    "a head of 65 KB in many fields": (431, head(GET, *(f"X-{n}: {'x' * 60}" for n in range(1_000)))),
    "a head of 65 KB in the path": (431, head(f"GET http://site.example/{'x' * (65 << 10)} HTTP/1.1")),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_could_be_read_in_two_ways_reaches_nobody(proxied: World, what: str) -> None:
    status, raw = REFUSED[what]
    answer, visits = asked(proxied, raw)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"X-Leadfleet-Egress: " in answer
    assert visits == []


SMUGGLED = f"{PRIVATE}\r\n".encode()

ONE_REQUEST = {
    "a body that looks like a request": head(POST, f"Content-Length: {len(SMUGGLED)}", "Connection: close") + SMUGGLED,
    "a chunk that looks like a request": head(POST, CHUNKED, "Connection: close")
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
    "a length that is called hop by hop": head(
        POST, f"Content-Length: {len(SMUGGLED)}", "Connection: close, Content-Length"
    )
    + SMUGGLED,
    "another Host": head(GET, "Host: 10.0.0.1", "Connection: close"),
    "several Hosts": head(GET, "Host: site.example", "Host: 10.0.0.1", "Connection: close"),
    "an upgrade": head(GET, "Upgrade: websocket", "Connection: close, Upgrade"),
    "HTTP/1.0": head("GET http://site.example/ HTTP/1.0"),
    "a forwarded host": head(GET, "X-Forwarded-Host: 10.0.0.1", "Forwarded: host=10.0.0.1", "Connection: close"),
    "an address in the path": head("GET http://site.example/http://10.0.0.1/ HTTP/1.1", "Connection: close"),
    "an address in the query": head("GET http://site.example/?u=@10.0.0.1/ HTTP/1.1", "Connection: close"),
}


@pytest.mark.parametrize("what", ONE_REQUEST)
def test_what_is_one_request_is_one_request_to_the_host_that_was_checked(proxied: World, what: str) -> None:
    answer, visits = asked(proxied, ONE_REQUEST[what])
    assert answer.endswith(b"arrived")
    (visit,) = visits
    assert visit.split(" ")[1] == "site.example"
    assert "Proxy-Authorization" not in visit


@pytest.mark.parametrize("second", ["GET http://10.0.0.1/ HTTP/1.1", "CONNECT 10.0.0.1:80 HTTP/1.1",
                                    "CONNECT site.example:443 HTTP/1.1", "GET http://other.example/ HTTP/1.1",
                                    "GET http://site.example:8080/ HTTP/1.1"])  # fmt: skip
def test_a_second_request_on_the_connection_goes_nowhere_else(proxied: World, second: str) -> None:
    proxied.pages["/held"] = ok(b"first").replace(b"Connection: close\r\n", b"")
    _, visits = asked(proxied, head("GET http://site.example/held HTTP/1.1") + head(second))
    assert {visit.split(" ", 1)[1] for visit in visits} <= {"site.example /held"}


def test_what_follows_a_tunnel_goes_to_where_it_leads(proxied: World) -> None:
    raw = head("CONNECT site.example:80 HTTP/1.1") + b"GET http://10.0.0.1/ HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n"
    answer, visits = asked(proxied, raw)
    assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK")
    assert [visit.split(" ")[0].rpartition(":")[2] for visit in visits] == ["80"]
    assert visits[0].startswith((SITE, "2606:"))


NO_CHUNKS = (
    b"-5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"\r\nhello\r\n", b"fffffffff\r\n",
    b"5\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloX\r\n0\r\n\r\n", b"5;\nx\r\nhello\r\n0\r\n\r\n", b"5;\0\r\nhello\r\n0\r\n\r\n", b"5 \x0b\r\nhello\r\n",
    b"0\r\n" + b"X: y\r\n" * 20_000 + b"\r\n", b"1;" + b"x" * 70_000 + b"\r\n",
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(NO_CHUNKS)))
def test_chunks_that_are_none_end_the_connection(proxied: World, number: int) -> None:
    """Whatever followed would be a request to one side and a body to the other."""
    first = f"POST http://site.example/chunks/{number} HTTP/1.1"  # a site may hear of it after the proxy has hung up
    answer, visits = asked(proxied, head(first, CHUNKED) + NO_CHUNKS[number] + SMUGGLED)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert not [visit for visit in visits if " site.example /chunks/" not in visit]


def test_the_proxy_is_well_after_all_of_it(proxied: World) -> None:
    answer, _ = asked(proxied, b"GET /health HTTP/1.1\r\n\r\n")
    assert b'"status": "ready"' in answer
    assert b'"open": 1,' in answer
