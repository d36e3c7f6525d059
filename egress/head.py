"""What a client asks of the proxy: the head of a request, checked, and as it goes on to the origin.

Strict on purpose: a head that two programs could read differently is how requests are smuggled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from egress.refused import Refused
from fleet.addresses import BadHost, usable_host
from fleet.refusals import Category

HEAD_LIMIT = 64 << 10
"""Longest request head; Chrome's own limit for a header is 256 KB, cookies of real sites stay below 16 KB."""

_METHOD = re.compile(r"[A-Z]{1,20}\Z")
_TARGET = re.compile(r"[!-~]+\Z")
_ABSOLUTE = re.compile(r"[hH][tT][tT][pP]://([^/?#]*)(.*)\Z")
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/?#\[\]@\\%]+)(?::([0-9]{1,5}))?\Z")
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*\Z")
_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer",
    "upgrade", "host", "expect",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A parsed request to the proxy. ``length`` is the body's, None when it is chunked."""

    method: str
    host: str
    port: int
    head: bytes  # what goes to the origin; empty for CONNECT
    length: int | None
    authorization: str | None = None
    """The value of ``Proxy-Authorization``."""

    @property
    def origin(self) -> tuple[str, int]:
        return self.host, self.port


def parse_head(raw: bytes) -> RequestHead:
    """Check and rewrite a request head as the proxy received it. Raises Refused with 400 or 403."""
    lines = _lines(raw)
    method, target, version = _request_line(lines[0])
    fields = [_field(line) for line in lines[1:]]
    length, authorization = _body_length(fields), _authorization(fields)
    if method == "CONNECT":
        if length != 0:
            raise Refused(Category.MALFORMED, "a CONNECT has no body")
        host, port = _authority(target, None)
        return RequestHead(method, host, port, b"", 0, authorization)
    match = _ABSOLUTE.match(target)
    if match is None:
        raise Refused(Category.FORBIDDEN, "refused scheme")
    if "#" in target:
        raise Refused(Category.MALFORMED, "malformed target")
    authority, path = match[1], match[2]
    host, port = _authority(authority, 80)
    said = {
        word.strip().lower()
        for key, value in fields
        if key.lower() in {"connection", "proxy-connection"}
        for word in value.split(",")
    }
    dropped = _HOP_BY_HOP | said
    # how a body is framed is said by the fields that were checked, whatever the client calls hop-by-hop
    dropped -= {"content-length", "transfer-encoding"}
    kept = [(name, value) for name, value in fields if name.lower() not in dropped]
    origin = f"{method} {path if path.startswith('/') else '/' + path} HTTP/1.1\r\nHost: {authority}\r\n"
    # answers are not parsed: where a client waits for the end of the connection, the origin has to end it
    closes = "Connection: close\r\n" if "close" in said or version == "HTTP/1.0" else ""
    head = origin + closes + "".join(f"{name}: {value}\r\n" for name, value in kept) + "\r\n"
    return RequestHead(method, host, port, head.encode("latin-1"), length, authorization)


def chunk_size(line: bytes) -> int:
    """Of a chunk, by its first line; the rest of the line is not passed on. Raises ConnectionAbortedError."""
    digits = line.partition(b";")[0].strip()
    if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", digits):
        raise ConnectionAbortedError("malformed chunk")
    return int(digits, 16)


def proof_in(raw: bytes) -> str | None:
    """The value of ``Proxy-Authorization`` in a head, whatever it asks for. Raises Refused with 400."""
    return _authorization([_field(line) for line in _lines(raw)[1:]])


def _lines(raw: bytes) -> list[str]:
    return raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")


def _request_line(line: str) -> tuple[str, str, str]:
    try:
        method, target, version = line.split(" ")
    except ValueError as exc:
        raise Refused(Category.MALFORMED, "malformed request line") from exc
    if not (_METHOD.match(method) and _TARGET.match(target)) or version not in {"HTTP/1.1", "HTTP/1.0"}:
        raise Refused(Category.MALFORMED, "malformed request line")
    return method, target, version


def _field(line: str) -> tuple[str, str]:
    name, found, value = line.partition(":")
    if not found or not _FIELD_NAME.match(name) or not _FIELD_VALUE.match(value):
        raise Refused(Category.MALFORMED, "malformed header")
    return name, value.strip(" \t")


def _authorization(fields: list[tuple[str, str]]) -> str | None:
    sent = [value for name, value in fields if name.lower() == "proxy-authorization"]
    if len(sent) > 1:
        raise Refused(Category.MALFORMED, "more than one Proxy-Authorization")
    return sent[0] if sent else None


def _body_length(fields: list[tuple[str, str]]) -> int | None:
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
    if (lengths and codings) or len(lengths) > 1 or codings not in ([], ["chunked"]):
        raise Refused(Category.MALFORMED, "ambiguous body length")
    if codings:
        return None
    length = lengths[0] if lengths else "0"
    if not length.isascii() or not length.isdecimal() or len(length) > 12:
        raise Refused(Category.MALFORMED, "malformed body length")
    return int(length)


def _authority(text: str, default_port: int | None) -> tuple[str, int]:
    """``(host, port)``; a user name has no place in it: browsers keep it to themselves."""
    match = _AUTHORITY.match(text)
    if match is None or (match[2] is None and default_port is None):
        raise Refused(Category.MALFORMED, "malformed target")
    port = int(match[2]) if match[2] else default_port or 0
    if not 0 < port < 1 << 16:
        raise Refused(Category.MALFORMED, "malformed target")
    try:
        return usable_host(match[1]), port
    except BadHost as exc:
        raise Refused(Category.MALFORMED, f"refused host: {exc}") from exc
