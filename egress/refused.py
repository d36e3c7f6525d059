"""What the proxy answers itself, instead of an origin."""

from __future__ import annotations

from http import HTTPStatus

from fleet.refusals import HEADER, Category

STATUS = {
    Category.MALFORMED: HTTPStatus.BAD_REQUEST,
    Category.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Category.UNKNOWN_NAME: HTTPStatus.BAD_GATEWAY,
    Category.UNREACHABLE: HTTPStatus.BAD_GATEWAY,
    Category.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    Category.CAP: HTTPStatus.TOO_MANY_REQUESTS,
    Category.SPENT: HTTPStatus.TOO_MANY_REQUESTS,
    Category.FULL: HTTPStatus.SERVICE_UNAVAILABLE,
    Category.NO_UNIT: HTTPStatus.FORBIDDEN,
    Category.UNPROVEN: HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    Category.NO_WAY_OUT: HTTPStatus.BAD_GATEWAY,
}

CAPS = frozenset({Category.CAP, Category.SPENT})

NOT_REACHED = frozenset({Category.UNKNOWN_NAME, Category.UNREACHABLE, Category.TIMEOUT, Category.NO_WAY_OUT})
"""No rule was against it."""

LONGEST_REASON = 300


class Refused(Exception):
    """The request is answered by the proxy itself. ``reason`` is for the access log; who asked learns ``category``.

    ``status`` says more than the category of a head that cannot be read.
    """

    def __init__(self, category: Category, reason: str, status: int = 0) -> None:
        self.category, self.reason, self.status = category, reason, status or STATUS[category]
        super().__init__(reason)

    def answer(self) -> bytes:
        """The whole HTTP answer; the connection is closed behind it."""
        said = self.category.sentence
        challenge = 'Proxy-Authenticate: Basic realm="egress"\r\n' if self.category is Category.UNPROVEN else ""
        return (
            f"HTTP/1.1 {self.status:d} {HTTPStatus(self.status).phrase}\r\n{HEADER}: {self.category}\r\n{challenge}"
            f"Content-Type: text/plain\r\nContent-Length: {len(said)}\r\nConnection: close\r\n\r\n{said}"
        ).encode()


def visible(text: str) -> str:
    """``text`` as it may stand in a log line, whoever made it: printable ASCII, cut."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:LONGEST_REASON])
