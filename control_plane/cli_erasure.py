"""Erasing leads and keeping the opt-out list, as the command line does it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import click

from control_plane.api_client import Api
from control_plane.cli_output import counted, listing

POLL_S = 0.5

_OPT_OUT_ID = re.compile(r"opt_[0-9a-f]+")
_PHONE = re.compile(r"\+?[\d\s().\-/]+")


async def erase(api: Api, leads: tuple[str, ...], *, opt_out: bool) -> None:
    """Erase leads one after the other, and wait until their bytes are gone."""
    for lead in leads:
        erased = await api.delete(f"/api/leads/{lead}?opt_out={str(opt_out).lower()}")
        click.echo(f"erased {lead}: {removed(await done(api, erased))}")


async def add(api: Api, value: str, region: str | None, reason: str | None) -> None:
    """Opt a value out and wait until what was there is gone."""
    body = named(value, region) | ({"reason": reason} if reason else {})
    added = await api.post("/api/opt-outs", body)
    click.echo(added["opt_out_id"])
    click.echo(f"{added['value']}: {removed(await done(api, added['erasure']))}", err=True)


async def show(api: Api, limit: int) -> None:
    page = await api.get("/api/opt-outs", limit=limit)
    rows = [
        [each["opt_out_id"], each["kind"], each["value"], each["created_at"], each["reason"] or ""]
        for each in page["opt_outs"]
    ]
    listing(("opt-out", "kind", "value", "since", "reason"), rows, whole={"opt-out"})
    click.echo(f"{len(rows)} of {page['total']}", err=True)


async def remove(api: Api, value: str, region: str | None) -> None:
    """Take an entry off the list, by its id or by what it names."""
    if _OPT_OUT_ID.fullmatch(value):
        gone = await api.delete(f"/api/opt-outs/{value}")
    else:
        gone = await api.delete("/api/opt-outs", named(value, region))
    click.echo(f"removed {gone['value']}")


async def done(api: Api, erasure: dict[str, Any]) -> dict[str, Any]:
    """The erasure once it is done; says so when it takes longer."""
    told = False
    while erasure["status"] != "done":
        if not told:
            click.echo(f"{erasure['erasure_id']} is under way; Ctrl-C only ends the waiting", err=True)
            told = True
        await asyncio.sleep(POLL_S)
        erasure = await api.get(f"/api/erasures/{erasure['erasure_id']}")
    return erasure


def removed(erasure: dict[str, Any]) -> str:
    """What an erasure removed, in words."""
    parts = [counted(erasure[f"{what}s"], what) for what in ("lead", "observation", "event", "export")]
    return ", ".join(parts) + " removed"


def named(value: str, region: str | None) -> dict[str, str]:
    """What a value is, as the API wants it: an address has an @, a phone nothing but digits."""
    if "@" in value:
        return {"email": value}
    if _PHONE.fullmatch(value):
        return {"phone": value} | ({"region": region} if region else {})
    return {"domain": value}
