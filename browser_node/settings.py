"""All settings of a browser node, from the environment. README lists every one."""

from __future__ import annotations

import platform
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, field_validator

from egress.settings import Rules
from fleet import ids
from fleet.errors import FleetError

Labels = Annotated[
    tuple[str, ...],
    BeforeValidator(
        lambda v: tuple(part.strip() for part in v.split(",") if part.strip()) if isinstance(v, str) else v
    ),
]


def _default_node_id() -> str:
    """The machine's name, which containers get a new one of each."""
    return re.sub(r"[^a-z0-9_-]", "-", platform.node().lower()).strip("-_")[:64] or "node"


class Settings(Rules):
    """``LEADFLEET_<NAME>`` in the environment; lists are separated by commas, durations are seconds.

    ``LEADFLEET_<NAME>_FILE`` names a file to read the value from. ``LEADFLEET_CHROME``, which Chrome to use, is read by
    `chrome_binary`.
    """

    # Who this node is and whom it serves.
    join_url: str = Field(
        "redis://join@127.0.0.1:6379/0", description="Valkey as the user that may knock; its password is part of it"
    )
    fleet: str = Field("local", description="name of the fleet")
    node_id: str = Field(default_factory=_default_node_id, description="name of this node, unique in the fleet")
    node_password: SecretStr | None = Field(
        None,
        description="password of this node's Valkey user, where users are declared; absent: one of its own making",
        min_length=16,
    )
    state: Path = Field(Path(".state/node"), description="directory of profiles and of the node's own password")
    address: str = Field("", description="address of this machine as others reach it, shown to operators")
    labels: Labels = Field((), description="what units may ask for; every node also has `any`")

    # Its Chromes.
    slots: int = Field(2, ge=1, le=64, description="Chromes kept warm: units that run at once")
    user_agent: str = Field("", description="User-Agent of all pages; empty: Chrome's own")
    recycle_units: int = Field(50, ge=1, description="units after which a Chrome is replaced")
    recycle_mb: int = Field(1500, ge=100, description="resident MB after which a Chrome is replaced between units")
    chrome_mb: int = Field(
        3000, ge=200, description="resident MB at which a Chrome is killed; its unit's attempt fails: `out_of_memory`"
    )

    require_sandbox: bool = Field(
        False, description="refuse to run where Chrome's own sandbox does not work: as root, without user namespaces"
    )

    # What it reads.
    check_mx: bool = Field(
        False, description="leave out e-mail addresses whose domain takes no mail; asks the resolver"
    )

    # What may leave; `egress.settings.Rules` hold the rest.
    egress_proxy: str = Field(
        "", description="`host:port` of the egress proxy that all goes through; empty: the agent's own goes out itself"
    )

    # Its end.
    drain_s: float = Field(30, ge=0, description="seconds running units may take at a drain before they go back")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="least level that is logged")

    @field_validator("fleet")
    @classmethod
    def _fleet_name(cls, value: str) -> str:
        return _usable("fleet", value)

    @field_validator("node_id")
    @classmethod
    def _node_name(cls, value: str) -> str:
        return _usable("node", value)

    @field_validator("labels")
    @classmethod
    def _label_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_usable("label", label) for label in value)

    @field_validator("egress_proxy")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        if value and re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:/@\s]+):[0-9]{1,5}", value) is None:
            raise ValueError("must look like egress:3128, without a scheme")
        return value

    @property
    def drain_limit(self) -> timedelta:
        return timedelta(seconds=self.drain_s)

    @property
    def further_proxy(self) -> tuple[str, int] | None:
        """Host and port of ``egress_proxy``."""
        host, _, port = self.egress_proxy.rpartition(":")
        return (host.strip("[]"), int(port)) if host else None


def _usable(what: str, value: str) -> str:
    try:
        return ids.name(what, value)
    except FleetError as exc:
        raise ValueError(str(exc)) from exc
