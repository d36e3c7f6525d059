"""Every error of the fleet.

FleetError
├── BadMessage         a stream entry that does not parse
├── BadName            a fleet, node, tenant or label name that cannot be part of a key
├── StoreUnavailable   Valkey did not answer, or refused for now
├── SchemaMismatch     the store was written by another, incompatible version
├── StillServed        replicas of an older version serve a store that is to be brought up to date
└── LeaseLost          somebody else holds the slot now
"""

from __future__ import annotations


class FleetError(Exception):
    """Root of all errors raised by this package."""


class BadMessage(FleetError):
    """A stream entry that is not the message it should be. Raised by ``from_fields``."""

    def __init__(self, kind: str, field: str, found: object) -> None:
        self.kind, self.field, self.found = kind, field, found
        super().__init__(f"message {kind!r}: field {field!r} does not parse, found {str(found)[:80]!r}")


class BadName(FleetError):
    """A name that may not be part of a key."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(
            f"{what} {name[:80]!r} is not usable as a name: use 1 to 64 of the characters a-z, 0-9, '-' and '_'"
        )


class StoreUnavailable(FleetError):
    """Valkey could not be asked. ``retry_after`` is in seconds."""

    def __init__(self, tried: str, found: BaseException | str, retry_after: int = 2) -> None:
        self.retry_after = retry_after
        super().__init__(f"the store did not answer while trying to {tried}: {found}; try again in {retry_after} s")


class SchemaMismatch(FleetError):
    """The store holds data of another schema version."""

    def __init__(self, found: str, ours: str) -> None:
        super().__init__(
            f"the store holds schema version {found}, this program speaks {ours}: "
            "run the version that wrote it, or a newer one of this program"
        )


class StillServed(FleetError):
    """The store cannot be brought up to date beside replicas that keep its old layout."""

    def __init__(self, found: str, ours: str, replicas: list[str]) -> None:
        super().__init__(
            f"the store holds schema version {found}, and replicas of that version still serve it "
            f"({', '.join(replicas)}): stop them; the store is then brought to version {ours}. Nodes may go on"
        )


class LeaseLost(FleetError):
    """The lease on a unit is not ours any more."""

    def __init__(self, unit: str, ours: int, reason: str) -> None:
        self.unit, self.ours = unit, ours
        super().__init__(f"the lease on unit {unit} with fence {ours} is lost: {reason}")
