"""What options and arguments of ``leadfleet`` may hold; what they may not is told before anything is asked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import click

SUFFIXES = {"csv": ".csv", "json": ".json", "jsonl": ".jsonl", "excel": ".xlsx", "parquet": ".parquet"}
GZIP_SUFFIX = ".gz"
FLEETS_OWN = "default"  # what gives a tenant the limit of the fleet's settings
_LEAD_ID = re.compile(r"[\w-]+", re.ASCII)
_BARE_HOST = re.compile(r"[\w-]+(\.[\w-]+)+(:\d+)?([/?#]\S*)?")


def writable(target: Path) -> Path:
    """``target``, when a file can be written there: that is said before a long run, not after it."""
    if target.is_dir():
        raise click.BadParameter(f"{str(target)!r} is a folder: name a file, such as {target / 'leads.csv'}")
    if not target.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(target.parent)!r}: make it first, or name another")
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        raise click.BadParameter(f"{str(target)!r} may not be written by you: name another file")
    return target


@dataclass(frozen=True, slots=True)
class ExportTarget:
    """A file that leads are written to."""

    path: Path
    file_format: str
    compress: str | None


def export_target(path: Path | None, file_format: str | None = None) -> ExportTarget:
    """What a file's name and a format, as far as they are given, ask for together.

    A name whose ending belongs to another format is refused: what opens it would go by the ending.
    """
    if path is None:
        file_format = file_format or "csv"
        return ExportTarget(writable(Path("leads" + SUFFIXES[file_format])), file_format, None)
    compress = "gzip" if path.suffix.lower() == GZIP_SUFFIX else None
    ending = (path.with_suffix("") if compress else path).suffix.lower()
    named = next((known for known, suffix in SUFFIXES.items() if suffix == ending), None)
    if named is None and file_format is None:
        endings = ", ".join(SUFFIXES.values())
        raise click.BadParameter(
            f"{path.name!r} does not say which format: end it with one of {endings} ({GZIP_SUFFIX} after it compresses)"
        )
    if named and file_format and named != file_format:
        raise click.BadParameter(
            f"{path.name!r} is the name of a {named} file, and --format says {file_format}: leave --format out, or end "
            f"the name with {SUFFIXES[file_format]}"
        )
    chosen = file_format or named or ""
    if compress and chosen in {"excel", "parquet"}:
        raise click.BadParameter(f"{chosen} files are compressed as they are: leave {GZIP_SUFFIX} out of {path.name!r}")
    return ExportTarget(path, chosen, compress)


def writable_option(context: click.Context, parameter: click.Parameter, target: Path | None) -> Path | None:
    """The callback of an option that names a file to write."""
    return None if target is None else writable(target)


def with_scheme(context: click.Context, parameter: click.Parameter, urls: tuple[str, ...]) -> tuple[str, ...]:
    """The callback of addresses: each says how to reach it."""
    for url in urls:
        if _BARE_HOST.fullmatch(url):
            raise click.BadParameter(f"{url!r} does not say how to reach it: write https://{url}")
    return urls


def lead_ids_only(context: click.Context, parameter: click.Parameter, leads: tuple[str, ...]) -> tuple[str, ...]:
    """The callback of lead ids."""
    for lead in leads:
        if not _LEAD_ID.fullmatch(lead):  # anything else could be another route's path
            raise click.BadParameter(f"{lead!r} is not the id of a lead: `leadfleet leads` shows them")
    return leads


def own_limit(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """The callback of a tenant's own limit: units, or the fleet's."""
    if value is None or value == FLEETS_OWN or (value.isascii() and value.isdecimal() and int(value) > 0):
        return value
    raise click.BadParameter(f"{value!r} is neither a number of units from 1 on nor {FLEETS_OWN!r}")
