"""The files of the leads table where they lie: how Delta reaches them, and how one is deleted for good."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from control_plane.store.options import StoreOptions

DELETED_AT_ONCE = 1_000
"""What S3 takes in one request."""


class TableFiles:
    """Deletes data files of the table by their path in it. Blocks; used by one thread at a time."""

    def __init__(self, uri: str, *, region: str | None = None, endpoint: str | None = None) -> None:
        self._uri, self._region, self._endpoint = uri, region, endpoint
        self._client: Any = None

    def delete(self, paths: Collection[str]) -> None:
        """Delete files; those that are gone already count as deleted. OSError when one could not be."""
        if not self._uri.startswith("s3://"):
            root = Path(unquote(urlsplit(self._uri).path))
            for path in paths:
                (root / path).unlink(missing_ok=True)
            return
        ordered = sorted(paths)
        for start in range(0, len(ordered), DELETED_AT_ONCE):
            self._delete_objects(ordered[start : start + DELETED_AT_ONCE])

    def _delete_objects(self, paths: list[str]) -> None:
        where = urlsplit(self._uri)
        prefix = where.path.strip("/")
        objects = [{"Key": f"{prefix}/{path}" if prefix else path} for path in paths]
        answer = self._connected().delete_objects(Bucket=where.netloc, Delete={"Objects": objects, "Quiet": True})
        if answer.get("Errors"):
            first = answer["Errors"][0]
            raise OSError(f"S3 did not delete {first['Key']}: {first.get('Message') or first.get('Code')}")

    def _connected(self) -> Any:
        if self._client is None:
            # what Delta uses for S3 can delete, but not from Python; aiobotocore brings this along
            from botocore.config import Config
            from botocore.session import get_session

            self._client = get_session().create_client(
                "s3",
                region_name=self._region,
                endpoint_url=self._endpoint,
                config=Config(s3={"addressing_style": "path" if self._endpoint else "auto"}),
            )
        return self._client


def storage_options(options: StoreOptions) -> dict[str, str]:
    """What deltalake needs to reach S3; credentials come from the environment, as for boto."""
    if not options.leads_uri.startswith("s3://"):
        return {}
    # without a lock service, two writers are kept apart by S3's conditional put
    reached = {"AWS_REGION": options.s3_region, "AWS_CONDITIONAL_PUT": "etag"}
    if options.s3_endpoint is not None:
        reached["AWS_ENDPOINT_URL"] = options.s3_endpoint
        reached["AWS_ALLOW_HTTP"] = str(options.s3_endpoint.startswith("http://")).lower()
    return reached
