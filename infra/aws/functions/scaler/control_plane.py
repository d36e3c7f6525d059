"""The control plane's API as far as the scaler needs it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from .decision import Node, Work

TIMEOUT_S = 10
"""A replica answers within a second; a load balancer without one gives up later than this."""

PAGE = 500
"""The most that one answer tells of."""

UNKNOWN_KEY = 401

HOLDS_A_UNIT = frozenset({"leased", "releasing"})
"""States of a slot that runs a unit, or was told to let go of one and has not said that it did."""


class ControlPlane:
    """Asks with an API key of the scopes ``fleet:read`` and ``fleet:write``. Raises OSError while nobody answers.

    ``keys`` are tried in this order: while the key is rotated, replicas know the new one, the old one, or both.
    """

    def __init__(self, url: str, *keys: str) -> None:
        self._url, self._keys = url.rstrip("/"), keys

    def gauges(self) -> dict[str, Any]:
        """The fleet's numbers: units and slots by state, totals."""
        return self._ask("GET", "/api/metrics")

    def stalled(self) -> bool:
        """Whether units wait beside free slots that fit them."""
        return bool(self._ask("GET", "/api/health", also=503)["components"]["dispatch"]["status"] == "stalled")

    def nodes(self) -> list[Node]:
        """All nodes, with the leases of their slots."""
        # in this order: of a node that was draining when it was looked at, leases only grow fewer
        views = list(self._all("nodes"))
        leases = Counter(slot["node_id"] for slot in self._all("slots") if slot["state"] in HOLDS_A_UNIT)
        now = datetime.now(UTC)
        return [
            Node(view["node_id"], view["state"], leases[view["node_id"]], _age(view.get("registered_at"), now))
            for view in views
        ]

    def drain(self, node: str) -> None:
        """Have a node take no new work. From then on its leases only grow fewer."""
        self._ask("POST", f"/api/fleet/nodes/{node}/drain")

    def _all(self, what: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while True:
            answer = self._ask("GET", f"/api/fleet/{what}?limit={PAGE}" + (f"&cursor={cursor}" if cursor else ""))
            yield from answer[what]
            cursor = answer.get("next_cursor") or ""
            if not cursor:
                return

    def _ask(self, method: str, path: str, *, also: int = 200) -> dict[str, Any]:
        """The answer's JSON; ``also`` is a status that is one, beside those of success."""
        status, said = self._call(method, path)
        while status == UNKNOWN_KEY and len(self._keys) > 1:
            self._keys = self._keys[1:]
            status, said = self._call(method, path)
        if status >= 300 and status != also:
            raise ConnectionError(f"{method} {path}: {status} {said[:200]!r}")
        answered: dict[str, Any] = json.loads(said)
        return answered

    def _call(self, method: str, path: str) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {self._keys[0]}", "Accept": "application/json"}
        request = urllib.request.Request(self._url + path, method=method, headers=headers)  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read()


def work_of(gauges: dict[str, Any]) -> Work:
    """What there is to do, from the fleet's numbers."""
    return Work(gauges["units_dispatchable"], sum(gauges["slots"][state] for state in HOLDS_A_UNIT))


def _age(registered: str | None, now: datetime) -> timedelta:
    return now - datetime.fromisoformat(registered) if registered else timedelta(0)
