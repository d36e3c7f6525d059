"""Whether anything of a lead is left in the files of the leads table, in use or not."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import boto3
import polars as pl

from control_plane.store.options import StoreOptions


def traces_in(options: StoreOptions, *texts: str) -> list[str]:
    """``file: text`` for every text that stands in a data file, decompressed, or in Delta's log of commits."""
    return [f"{name}: {text}" for name, content in _files(options) for text in texts if text in content]


def _files(options: StoreOptions) -> list[tuple[str, str]]:
    where = urlsplit(options.leads_uri)
    if where.scheme == "file":
        paths = [path for path in Path(where.path).rglob("*") if path.is_file()]
        return [(str(path), _content(path.name, path.read_bytes())) for path in paths]
    bucket = boto3.resource("s3", endpoint_url=options.s3_endpoint, region_name=options.s3_region).Bucket(where.netloc)
    return [(each.key, _content(each.key, each.get()["Body"].read())) for each in bucket.objects.all()]


def _content(name: str, raw: bytes) -> str:
    return pl.read_parquet(raw).write_json() if name.endswith(".parquet") else raw.decode("utf-8", "replace")
