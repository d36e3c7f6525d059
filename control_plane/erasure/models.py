"""What clients send and get about erasure and opt-outs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from control_plane.erasure import opt_outs
from control_plane.erasure.opt_outs import Kind, OptOut

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=320)]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class OptOutRequest(BaseModel):
    """Body of ``POST`` and ``DELETE /api/opt-outs``: exactly one of phone, email and domain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phone: Text | None = Field(None, description="E.164, or as it is dialled in `region`")
    region: Annotated[str, StringConstraints(pattern="^[A-Za-z]{2}$")] | None = Field(
        None, description="ISO 3166-1 alpha-2: where a phone without + is dialled"
    )
    email: Text | None = None
    domain: Text | None = Field(None, description="with all names below it")
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.phone, self.email, self.domain)) != 1:
            raise ValueError("name exactly one of phone, email and domain")
        return self

    def entry(self) -> OptOut:
        """What it names, in the one way it is written; Invalid when that is no phone, address or domain."""
        if self.phone is not None:
            return opt_outs.phone(self.phone, self.region)
        if self.email is not None:
            return opt_outs.email(self.email)
        return opt_outs.domain(self.domain or "")


class OptOutView(_Answer):
    """One entry. ``value`` is masked: the list keeps a keyed digest and cannot say more."""

    opt_out_id: str
    kind: Kind
    value: str
    reason: str | None = None
    created_at: datetime


class OptOutPage(_Answer):
    """Entries, newest first."""

    opt_outs: list[OptOutView]
    total: int
    limit: int
    offset: int


class ErasureView(_Answer):
    """An erasure: what it has removed so far. ``done`` means that the bytes are gone as well."""

    erasure_id: str
    status: Literal["running", "done"]
    kind: Kind
    steps_done: list[str] = Field(description="trace, events, results, log, checkpoints, exports")
    leads: int
    observations: int = Field(description="rows of the leads table, and results that were not stored yet")
    events: int = Field(description="of tasks: results, boxes and log lines")
    exports: int = Field(description="files deleted; asked for again, they are made anew")
    created_at: datetime
    completed_at: datetime | None = None
    error: str | None = Field(None, description="why it has to be tried again; it is")


class LeadErased(ErasureView):
    """Answer to ``DELETE /api/leads/{id}``. ``lead_ids`` are the lead's id and its former ones."""

    lead_ids: list[str]
    opted_out: bool = Field(description="whether this business is kept away from now on")


class OptedOut(OptOutView):
    """Answer to ``POST /api/opt-outs``: the entry, and the erasure of what was there."""

    erasure: ErasureView
