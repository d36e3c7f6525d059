"""What the proxy answers itself, instead of an origin."""

from __future__ import annotations

from http import HTTPStatus

HEADER = "X-Leadfleet-Egress"
"""Holds the reason, in answers that are the proxy's own and not the site's."""

CAP = "cap: "
"""What the reason begins with when the unit or the node has used up what it may."""

SPENT = f"{CAP}the unit has moved"
"""What the reason begins with when the unit can have nothing more."""

PROOF_MISSING = HTTPStatus.PROXY_AUTHENTICATION_REQUIRED

LONGEST_REASON = 300


class Refused(Exception):
    """The request is answered by the proxy itself, with ``status`` (400 to 504) and ``reason``."""

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)

    def answer(self) -> bytes:
        """The whole HTTP answer; the connection is closed behind it."""
        reason = visible(self.reason)
        challenge = 'Proxy-Authenticate: Basic realm="egress"\r\n' if self.status == PROOF_MISSING else ""
        return (
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}\r\n{HEADER}: {reason}\r\n{challenge}"
            f"Content-Type: text/plain\r\nContent-Length: {len(reason)}\r\nConnection: close\r\n\r\n{reason}"
        ).encode()


def visible(text: str) -> str:
    """``text`` as it may stand in a header or a log line, whoever made it: printable ASCII, cut."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:LONGEST_REASON])
