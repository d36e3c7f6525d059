"""Object storage: exports go up in parts, and clients fetch them by presigned URL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

from botocore.exceptions import ClientError

from control_plane.store.options import StoreOptions
from fleet.cancellation import to_the_end

PART = 8 * 1024 * 1024
"""S3 takes parts from 5 MB; one is filled while another one is on its way, so two are in memory."""

CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 20  # S3 answers a part of 8 MB within a second or two; one that stalls is sent again
ATTEMPTS = 4

_EXISTS = {"PreconditionFailed", "412"}
_MISSING = {"NoSuchKey", "NotFound", "404", "NoSuchBucket"}


class Objects:
    """One bucket. Use as an async context manager; ``operations`` counts calls by name and outcome."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._connecting = asyncio.Lock()
        self._bucket_known = False
        self.operations: Counter[str] = Counter()

    async def __aenter__(self) -> Objects:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def upload(self, key: str, chunks: AsyncIterator[bytes], *, content_type: str, disposition: str) -> int:
        """Store an object unless it is there already; its size in bytes. On an error no part is left behind."""
        await self._ensure_bucket()
        headers = {"ContentType": content_type, "ContentDisposition": disposition}
        pieces = _parts(chunks)
        first = await anext(pieces, b"")
        if len(first) < PART:
            await self._create("put_object", Key=key, Body=first, **headers)
            return len(first)
        made = await self._call("create_multipart_upload", Key=key, **headers)
        target = {"Key": key, "UploadId": made["UploadId"]}
        try:
            etags, size = await self._send_parts(target, first, pieces)
            await self._create("complete_multipart_upload", **target, MultipartUpload={"Parts": etags})
        except BaseException:
            await to_the_end(self._call("abort_multipart_upload", **target))
            raise
        return size

    async def exists(self, key: str) -> bool:
        try:
            await self._call("head_object", Key=key)
        except ClientError as exc:
            if _code(exc) in _MISSING:
                return False
            raise
        return True

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is as good as deleted."""
        try:
            await self._call("delete_object", Key=key)
        except ClientError as exc:
            if _code(exc) not in _MISSING:
                raise

    async def presigned(self, key: str, *, seconds: int) -> str:
        """A URL that fetches the object, as the attachment it was stored as, until ``seconds`` from now."""
        client = await self._connected()
        url: str = await client.generate_presigned_url(
            "get_object", Params={"Bucket": self._options.s3_bucket, "Key": key}, ExpiresIn=seconds
        )
        return url

    async def _send_parts(
        self, target: dict[str, str], first: bytes, rest: AsyncIterator[bytes]
    ) -> tuple[list[dict[str, Any]], int]:
        etags: list[dict[str, Any]] = []
        size = 0
        piece: bytes | None = first
        while piece:
            number = len(etags) + 1
            sending = asyncio.create_task(self._call("upload_part", **target, PartNumber=number, Body=piece))
            try:
                following = await anext(rest, b"")
            except BaseException:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                raise
            sent = await sending
            etags.append({"ETag": sent["ETag"], "PartNumber": number})
            size += len(piece)
            piece = following
        return etags, size

    async def _create(self, operation: str, **arguments: Any) -> None:
        """Make the object visible on condition that it is new; one that is there is the same, made by a twin."""
        try:
            await self._call(operation, **arguments, IfNoneMatch="*")
        except ClientError as exc:
            if _code(exc) not in _EXISTS:
                raise

    async def _ensure_bucket(self) -> None:
        if self._bucket_known:
            return
        try:
            await self._call("head_bucket")
        except ClientError as exc:
            if _code(exc) not in _MISSING:
                raise
            region = self._options.s3_region
            # us-east-1 is the one region that S3 refuses to hear by name
            where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            await self._call("create_bucket", **where)
        self._bucket_known = True

    async def _call(self, operation: str, **arguments: Any) -> Any:
        method: Callable[..., Any] = getattr(await self._connected(), operation)
        try:
            answer = await method(Bucket=self._options.s3_bucket, **arguments)
        except BaseException:
            self.operations[f"{operation}:failed"] += 1
            raise
        self.operations[f"{operation}:ok"] += 1
        return answer

    async def _connected(self) -> Any:
        """The client, made when it is first needed: botocore takes a second of CPU and 20 MB that filters do not."""
        async with self._connecting:
            if self._client is None:
                self._client = await self._stack.enter_async_context(_client(self._options))
            return self._client


def _client(options: StoreOptions) -> Any:
    from aiobotocore.config import AioConfig
    from aiobotocore.session import get_session

    config = AioConfig(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # a bucket as a host name needs DNS that a local S3 does not have
        s3={"addressing_style": "path" if options.s3_endpoint else "auto"},
    )
    return get_session().create_client(
        "s3", region_name=options.s3_region, endpoint_url=options.s3_endpoint, config=config
    )


async def _parts(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of PART, the last one shorter."""
    held = bytearray()
    async for chunk in chunks:
        held += chunk
        while len(held) >= PART:
            yield bytes(held[:PART])
            del held[:PART]
    if held:
        yield bytes(held)


def _code(exc: ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))
