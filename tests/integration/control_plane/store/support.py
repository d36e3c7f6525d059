"""A leads table in a bucket, for tests that try both places."""

from __future__ import annotations

from dataclasses import replace

from aiobotocore.session import get_session

from control_plane.store.options import StoreOptions


async def in_a_bucket(options: StoreOptions) -> StoreOptions:
    """The same options with the table in a bucket that has just been made."""
    async with get_session().create_client(
        "s3", region_name=options.s3_region, endpoint_url=options.s3_endpoint
    ) as client:
        await client.create_bucket(Bucket=options.s3_bucket)
    return replace(options, leads_uri=f"s3://{options.s3_bucket}/leads")
