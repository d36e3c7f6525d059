"""All settings of the egress proxy, from the environment. docs/reference.md lists every one.

`Rules` are what the proxy in the agent has as well, under the same names.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from egress.shares import Limits
from fleet.addresses import Allowance, bound_host, is_loopback, parse_prefixes
from fleet.environment import PREFIX, from_files
from fleet.errors import FleetError

SHORTEST_SECRET = 16


class BadSettings(FleetError):
    """A setting that cannot be used. Names the variable, never its value: it may be a secret."""

    def __init__(self, error: ValidationError) -> None:
        problems = []
        for item in error.errors():
            said = item["msg"].removeprefix("Value error, ")
            # what several settings are wrong about together names them itself
            problems.append(f"{PREFIX}{str(item['loc'][0]).upper()}: {said}" if item["loc"] else said)
        super().__init__("settings that cannot be used: " + "; ".join(problems))


class FromEnvironment(BaseModel):
    """``LEADFLEET_<NAME>`` in the environment, or in a file that ``LEADFLEET_<NAME>_FILE`` names."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises BadSettings, naming every variable that is wrong, and BadSettingFile."""
        given = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in {**environment, **from_files(environment)}.items()
            if name.startswith(PREFIX) and value
        }
        try:
            return cls.model_validate(given)
        except ValidationError as exc:
            raise BadSettings(exc) from exc


class Rules(FromEnvironment):
    """What may leave, and how much of it. Durations are seconds."""

    egress_allow: str = Field("", description="targets that are reached although not public: `name=address:port`")
    egress_deny: str = Field(
        "", description="networks that are refused although public, such as the operator's own, by commas"
    )
    egress_connections: int = Field(512, ge=1, description="connections of a node through the egress proxy at once")
    egress_unit_connections: int = Field(128, ge=1, description="connections of a unit at once")
    egress_unit_mb: int = Field(8192, ge=1, description="MB that a unit may send and receive")
    egress_connection_mb: int = Field(256, ge=1, description="MB one connection may receive before it is cut")
    egress_connection_s: float = Field(3600, gt=0, description="seconds one connection may last before it is cut")
    egress_connect_s: float = Field(10, gt=0, description="seconds to connect to a site, whichever of its addresses")
    egress_idle_s: float = Field(90, gt=0, description="seconds a connection may be silent")

    @field_validator("egress_allow")
    @classmethod
    def _allowance_parses(cls, value: str) -> str:
        try:
            Allowance.parse(value)
        except FleetError as exc:
            raise ValueError(str(exc)) from exc
        return value

    @field_validator("egress_deny")
    @classmethod
    def _prefixes_parse(cls, value: str) -> str:
        try:
            parse_prefixes(value)
        except FleetError as exc:
            raise ValueError(str(exc)) from exc
        return value

    def limits(self, connections: int) -> Limits:
        """``connections``: of all nodes together."""
        return Limits(
            connections=connections,
            node_connections=self.egress_connections,
            unit_connections=self.egress_unit_connections,
            unit_bytes=self.egress_unit_mb << 20,
            connection_bytes=self.egress_connection_mb << 20,
            life=timedelta(seconds=self.egress_connection_s),
            connect=timedelta(seconds=self.egress_connect_s),
            idle=timedelta(seconds=self.egress_idle_s),
        )


class Settings(Rules):
    """Of a process of its own."""

    egress_bind: str = Field("127.0.0.1:3128", description="address and port to listen on")
    egress_secret: SecretStr | None = Field(
        None,
        description="what the control plane's has the same of: units prove themselves by it; required off loopback",
    )
    egress_previous_secret: SecretStr | None = Field(
        None, description="a second secret that is taken as well, while the secret is changed"
    )
    egress_total_connections: int = Field(16_384, ge=1, description="connections of all nodes at once")
    egress_drain_s: float = Field(20, ge=0, description="seconds open connections may take at SIGTERM")
    egress_log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="least level that is logged; accesses are `info`"
    )

    @field_validator("egress_bind")
    @classmethod
    def _address_and_port(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) >= 1 << 16:
            raise ValueError("must look like 0.0.0.0:3128")
        return value

    @model_validator(mode="after")
    def _proven_or_on_loopback(self) -> Self:
        secrets = self.secrets()
        if any(len(secret) < SHORTEST_SECRET for secret in secrets):
            raise ValueError(f"LEADFLEET_EGRESS_SECRET: a secret has {SHORTEST_SECRET} characters or more")
        if not secrets and not self.on_loopback:
            raise ValueError(
                f"LEADFLEET_EGRESS_BIND={self.egress_bind} without LEADFLEET_EGRESS_SECRET: a proxy that asks nobody "
                "who they are listens on loopback only; set the secret that the control plane has"
            )
        return self

    def secrets(self) -> tuple[str, ...]:
        """All that are taken; empty when nobody has to prove anything."""
        return tuple(
            secret.get_secret_value() for secret in (self.egress_secret, self.egress_previous_secret) if secret
        )

    @property
    def host(self) -> str:
        return bound_host(self.egress_bind)

    @property
    def port(self) -> int:
        return int(self.egress_bind.rpartition(":")[2])

    @property
    def on_loopback(self) -> bool:
        return is_loopback(self.host)
