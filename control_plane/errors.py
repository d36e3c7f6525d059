"""What goes wrong in a request, as RFC 9457 problem details.

    FleetError
    └── Problem               any answer that is not the one asked for
        ├── Invalid           422: the request is understood and cannot be carried out
        ├── BadRequest        400: the request does not parse
        ├── Unauthorized      401: no credentials, or none that are valid
        ├── Forbidden         403: valid credentials without the scope
        ├── NotFound          404: not there, or another tenant's
        ├── Conflict          409: the resource is in a state that rules this out
        ├── TooMany           429: a rate, a cap or a quota is used up
        └── Unavailable       503: a part we depend on does not answer

Raise them anywhere below a route; ``control_plane.app`` turns them into ``application/problem+json``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from fleet.errors import FleetError

MAX_RETRY_AFTER_S = 2
"""What a 503 tells clients: the store recovers within seconds, and a client that waits longer wastes them."""


class FieldError(TypedDict):
    """One thing wrong with the input. ``loc`` is the path to it: ``["queries", 3]``."""

    loc: list[str | int]
    message: str


class Problem(FleetError):
    """An answer with ``status`` that says what was tried, what was found and what to do."""

    status = 500
    title = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        title: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = self.status if status is None else status
        self.title = self.title if title is None else title
        self.detail, self.errors = detail, list(errors)
        self.headers, self.extra = dict(headers or {}), dict(extra or {})

    def body(self) -> dict[str, Any]:
        """The members of the problem document."""
        members: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            members["errors"] = self.errors
        return members | self.extra


class BadRequest(Problem):
    status = 400
    title = "Bad request"


class Unauthorized(Problem):
    status = 401
    title = "Not authenticated"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer realm="leadfleet"'})


class Forbidden(Problem):
    status = 403
    title = "Not allowed"


class NotFound(Problem):
    """``NotFound("task", "tsk_…")``: also said of what belongs to another tenant."""

    status = 404
    title = "Not found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"there is no {what} {name[:80]!r}")


class Conflict(Problem):
    status = 409
    title = "Conflict"


class Invalid(Problem):
    status = 422
    title = "Invalid input"


class TooMany(Problem):
    """``retry_after`` is in whole seconds, at least 1."""

    status = 429
    title = "Too many requests"

    def __init__(self, detail: str, *, retry_after: int, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(max(1, retry_after))}, extra=extra)


class Unavailable(Problem):
    """``retry_after`` is in whole seconds and never more than MAX_RETRY_AFTER_S."""

    status = 503
    title = "Unavailable"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(min(MAX_RETRY_AFTER_S, max(1, retry_after)))})
