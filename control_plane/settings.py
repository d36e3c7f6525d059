"""All settings of a control-plane process, from the environment. README lists every one."""

from __future__ import annotations

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from fleet import ids
from fleet.addresses import bound_host, is_loopback
from fleet.environment import PREFIX, from_files
from fleet.errors import BadName
from fleet.model import UNIT_IDLE

Names = Annotated[tuple[str, ...], NoDecode]


class _Files(PydanticBaseSettingsSource):
    """What ``LEADFLEET_<NAME>_FILE`` names. Raises BadSettingFile."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # all of them come at once, below

    def __call__(self) -> dict[str, Any]:
        return {name.removeprefix(PREFIX).lower(): value for name, value in from_files(os.environ).items()}


class Settings(BaseSettings):
    """``LEADFLEET_<NAME>`` in the environment; lists are separated by commas, durations are seconds.

    ``LEADFLEET_<NAME>_FILE`` names a file to read the value from.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    # What this replica talks to.
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0", description="Valkey or Redis with AOF and maxmemory-policy noeviction"
    )
    fleet: str = Field("local", description="name of the fleet; all its keys carry it")
    s3_endpoint: str | None = Field(None, description="S3 endpoint; absent: AWS")
    s3_public_endpoint: str | None = Field(
        None, description="S3 endpoint that download links name, where clients reach it by another; absent: the same"
    )
    s3_bucket: str = Field("leadfleet", description="bucket for exports")
    s3_region: str = Field("us-east-1", description="region that presigned URLs are signed for")
    state: Path = Field(Path(".state"), description="directory of what this machine keeps")
    leads_uri: str | None = Field(
        None,
        description="where the leads table is: file://… or s3://…; absent: `leads` in the state directory",
    )

    # Who may call, and from where.
    bind: str = Field("127.0.0.1:8000", description="address and port to listen on")
    auth: Literal["on", "off"] = Field("on", description="`off` needs a loopback bind; every call is tenant default's")
    secret: SecretStr = Field(
        default_factory=lambda: SecretStr(secrets.token_urlsafe(32)),
        description="signs stream tokens and webhooks; the same on all replicas; absent: a new one every start",
        min_length=16,
    )
    bootstrap_key: SecretStr | None = Field(
        None, description="an API key of tenant `default` with all scopes, stored at start"
    )
    scaler_key: SecretStr | None = Field(
        None,
        description="an API key that sees nodes and drains them and can do nothing else, stored at start",
        min_length=16,
    )
    declared_nodes: Names = Field(
        (),
        description="nodes whose Valkey users are there beforehand, by commas; no others are let in, "
        "and no user is made. Empty: a user is made for each node that knocks",
    )
    allowed_origins: Names = Field(
        ("http://localhost:3000",), description="browser origins that may call, besides the console's own"
    )
    allowed_hosts: Names = Field((), description="Host names that are answered, besides those of loopback")
    trusted_hops: int = Field(
        0,
        ge=0,
        le=8,
        description="proxies in front that append to `X-Forwarded-For`; 0: what requests say of their way is ignored",
    )
    egress_allow: str = Field(
        "",
        description="targets that are reached although they are not public: `name=address:port`, by commas",
    )

    egress_secret: SecretStr | None = Field(
        None,
        description="the egress proxy's secret, which nodes get their keys from; absent: nodes go out by themselves",
        min_length=16,
    )

    egress_proxy: str = Field(
        "",
        description="`host:port` of the egress proxy that webhooks and questions to a model leave through; empty: they "
        "leave directly",
    )

    # How much.
    queue_cap: int = Field(10_000, ge=1, description="units that may wait in the whole fleet")
    tenant_daily_units: int = Field(10_000, ge=1, description="units a tenant may submit a day")
    tenant_max_running: int = Field(32, ge=1, description="units of a tenant that run at once")
    tenant_max_queued: int = Field(5_000, ge=1, description="units of a tenant that may wait")
    unit_idle_timeout: timedelta = Field(
        UNIT_IDLE, description="how long a running unit may neither begin nor end a page before its attempt has failed"
    )
    control_limit: timedelta = Field(
        timedelta(minutes=5), description="how long a person may have the wheel of a task's browser at a time"
    )
    lease_log: int = Field(
        10_000, ge=0, description="grants and ends of leases that are kept for whoever asks what happened; 0: none"
    )
    rate_scale: float = Field(1.0, gt=0, description="multiplies every rate limit")
    retention: timedelta = Field(timedelta(days=7), description="how long an ended task and its events are kept")
    idempotency_memory: timedelta = Field(
        timedelta(hours=24), description="how long an Idempotency-Key of a task is remembered"
    )
    store_memory_mb: int = Field(
        512,
        ge=16,
        description="MB of leads' columns that a store worker holds; beyond them queries read files on scratch",
    )
    export_expiry: timedelta = Field(
        timedelta(hours=24),
        gt=timedelta(0),
        le=timedelta(days=7),  # SigV4 signs for no longer
        description="how long an export's URL is good, at most 7 days",
    )
    tidy_memory_mb: int = Field(256, ge=160, description="MB that joining small files of the leads table may take")
    stream_token_ttl: timedelta = Field(timedelta(minutes=10), description="how long a stream token is good")

    # Enrichment: the language model that leads are put to. Off without a URL.
    enrichment_url: str | None = Field(
        None, description="OpenAI-compatible endpoint, such as `https://host/v1`; absent: leads are not enriched"
    )
    enrichment_key: SecretStr | None = Field(None, description="its API key; absent: none is sent")
    enrichment_model: str | None = Field(None, description="name of the model", min_length=1, max_length=200)
    enrichment_batch: int = Field(10, ge=1, le=50, description="leads of a tenant in one question")
    enrichment_concurrency: int = Field(2, ge=1, le=32, description="questions of a replica at once")
    enrichment_timeout: timedelta = Field(timedelta(seconds=30), description="how long an answer may take")
    enrichment_retries: int = Field(3, ge=0, le=10, description="further attempts after one that failed")
    enrichment_patience: timedelta = Field(
        timedelta(minutes=15), description="how long a lead waits for the model before it keeps the rules' answer"
    )
    enrichment_memory: timedelta = Field(
        timedelta(days=30), description="how long the same content of a lead is not asked about again"
    )
    enrichment_breaker_failures: int = Field(
        5, ge=1, description="failures in a row after which the model is not asked for a while"
    )
    enrichment_breaker_pause: timedelta = Field(timedelta(seconds=60), description="how long that while is")
    enrichment_daily_tokens: int = Field(2_000_000, ge=0, description="most tokens of the fleet on a UTC day")
    enrichment_tenant_daily_tokens: int = Field(500_000, ge=0, description="most tokens of a tenant on a UTC day")
    enrichment_price_in: float = Field(0.0, ge=0, description="price of a million tokens that are sent")
    enrichment_price_out: float = Field(0.0, ge=0, description="price of a million tokens that are answered")
    enrichment_daily_cost: float = Field(0.0, ge=0, description="most money of the fleet on a UTC day; 0: no such cap")

    # How it runs.
    stop_delay: timedelta = Field(
        timedelta(0), description="how long a replica that was told to stop serves on, not ready, until it is noticed"
    )
    replica: str = Field(
        default_factory=lambda: f"r-{secrets.token_hex(4)}",
        description="name of this replica",
        pattern="^[a-z0-9_-]{1,64}$",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _Files(settings_cls)

    @field_validator("allowed_origins", "allowed_hosts", "declared_nodes", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator(
        "stop_delay", "retention", "idempotency_memory", "unit_idle_timeout", "control_limit", "export_expiry",
        "stream_token_ttl", "enrichment_timeout", "enrichment_patience", "enrichment_memory",
        "enrichment_breaker_pause", mode="before",
    )  # fmt: skip
    @classmethod
    def _seconds(cls, value: object) -> object:
        """``"600"`` is 600 seconds; pydantic alone would want ISO 8601."""
        return timedelta(seconds=float(value)) if isinstance(value, str) and value.isdecimal() else value

    @field_validator("declared_nodes")
    @classmethod
    def _usable_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(ids.name("node", node) for node in value)
        except BadName as exc:
            raise ValueError(str(exc)) from exc

    @model_validator(mode="after")
    def _no_auth_only_on_loopback(self) -> Self:
        if self.auth == "off" and not self.on_loopback:
            raise ValueError(
                f"LEADFLEET_AUTH=off with LEADFLEET_BIND={self.bind}: without authentication "
                "the API listens on loopback only; bind to 127.0.0.1 or switch authentication on"
            )
        return self

    @field_validator(
        "idempotency_memory", "unit_idle_timeout", "control_limit", "enrichment_timeout", "enrichment_patience",
        "enrichment_memory", "enrichment_breaker_pause",
    )  # fmt: skip
    @classmethod
    def _some_time(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=1):
            raise ValueError("must be a second or more")
        return value

    @field_validator("enrichment_url")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must look like https://host/v1, without a query")
        if parts.username is not None:
            raise ValueError("must hold no user or password: the key goes into LEADFLEET_ENRICHMENT_KEY")
        return value

    @model_validator(mode="after")
    def _proxy_with_a_secret(self) -> Self:
        if not self.egress_proxy:
            return self
        host, _, port = self.egress_proxy.rpartition(":")
        if not host or set("/@ ") & set(host) or not port.isdecimal() or int(port) >= 1 << 16:
            raise ValueError("LEADFLEET_EGRESS_PROXY must look like egress:3128, without a scheme")
        if self.egress_secret is None:
            raise ValueError("LEADFLEET_EGRESS_PROXY is set: the proxy knows us by LEADFLEET_EGRESS_SECRET, set it too")
        return self

    @model_validator(mode="after")
    def _endpoint_with_a_model(self) -> Self:
        if self.enrichment_url is None:
            return self
        if self.enrichment_model is None:
            raise ValueError("LEADFLEET_ENRICHMENT_URL is set: name the model in LEADFLEET_ENRICHMENT_MODEL")
        if self.enrichment_daily_cost and not (self.enrichment_price_in or self.enrichment_price_out):
            raise ValueError(
                "LEADFLEET_ENRICHMENT_DAILY_COST caps nothing without prices: "
                "set LEADFLEET_ENRICHMENT_PRICE_IN and LEADFLEET_ENRICHMENT_PRICE_OUT"
            )
        return self

    @property
    def host(self) -> str:
        return bound_host(self.bind)

    @property
    def port(self) -> int:
        return int(self.bind.rpartition(":")[2])

    @property
    def on_loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def leads_location(self) -> str:
        """``leads_uri``, or the default inside the state directory."""
        return self.leads_uri or f"file://{(self.state / 'leads').resolve()}"
