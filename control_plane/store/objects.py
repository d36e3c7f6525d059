"""Object storage: exports go up in parts, and clients fetch them by presigned URL.

Storage that fails is asked again by botocore, with pauses that grow; storage that is silent is left after a limit and
asked once more. What then still fails is a `StorageFailed`, whose sentence is for the client.

An upload that a dying worker left is found by its key and gone on with: parts whose bytes are there are not sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

from control_plane.store.options import StoreOptions
from fleet.cancellation import end_all

PART = 8 * 1024 * 1024
"""S3 takes parts from 5 MB."""

IN_FLIGHT = 3
"""Parts on their way at once, beside the one that is filled: S3 needs 0.2 s for a part, so one after another would
take 12 s for 500 MB. They are what an upload holds in memory."""

CONNECT_TIMEOUT_S = 3
ATTEMPTS = 4
PAUSES_S = 7.0  # botocore waits up to 1, 2 and 4 s between them; S3 that asks to slow down mostly means seconds
SILENT_CALLS = 2
SILENCES = 2
"""A call may take the pauses and this many times ``s3_timeout_s``, and is then made ``SILENT_CALLS`` times: at the
default a part needs a line of 1.4 Mbit/s."""

EXPORT_DAYS = 7
ORPHAN_DAYS = 1
LIFECYCLE = {
    "Rules": [
        # an export is made again on request, and holds personal data
        {"ID": "exports", "Status": "Enabled", "Filter": {"Prefix": "exports/"}, "Expiration": {"Days": EXPORT_DAYS}},
        # parts of uploads that a killed worker left cost money and show nowhere
        {
            "ID": "uploads",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ORPHAN_DAYS},
        },
    ]
}
"""The rules of a bucket that we make ourselves; template.yaml has the same for AWS."""

_EXISTS = {"PreconditionFailed", "412"}
_MISSING = {"NoSuchKey", "NotFound", "404", "NoSuchBucket", "NoSuchUpload"}


class StorageFailed(Exception):
    """Object storage did not do what it was asked to, and was asked often enough."""

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(f"object storage failed at {operation.replace('_', ' ')}: {reason}; ask again")


class _Missing(StorageFailed):
    """There is no such object, upload or bucket."""


class _Exists(StorageFailed):
    """The object was to be new, and is there already."""


class Objects:
    """One bucket. Use as an async context manager; ``operations`` counts calls by name and outcome.

    All methods raise StorageFailed.
    """

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self._client: Any = None
        self._signer: Any = None
        self._connecting = asyncio.Lock()
        self.operations: Counter[str] = Counter()

    async def __aenter__(self) -> Objects:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def connect(self) -> None:
        """Make the client now, in a thread where it takes long, so that the first export need not wait 0.7 s for it."""
        await self._connected()

    async def reach(self) -> None:
        """Ask for the bucket; that there is none yet is an answer too. The caller sets the limit."""
        client = await self._connected()
        try:
            await client.head_bucket(Bucket=self._options.s3_bucket)
        except asyncio.CancelledError:
            raise
        except Exception as exc:
            failure = _failure("head_bucket", exc)
            if not isinstance(failure, _Missing):
                raise failure from exc

    async def upload(
        self,
        key: str,
        chunks: AsyncIterator[bytes],
        *,
        content_type: str,
        disposition: str,
        stored: Callable[[int], None],
    ) -> None:
        """Store an object unless it is there already. ``stored`` hears how many bytes are there by now.

        On an error no part is left behind. Cancelled, the parts stay: who goes on with the export finds them, and
        who has no use for them any more calls ``discard``.
        """
        await self._ensure_bucket()
        headers = {"ContentType": content_type, "ContentDisposition": disposition}
        pieces = _parts(chunks)
        first = await anext(pieces, b"")
        if len(first) < PART:
            with suppress(_Exists):  # then it is the same, made by a twin
                await self._call("put_object", Key=key, Body=first, **headers, IfNoneMatch="*")
            stored(len(first))
            return
        upload, known = await self._begin_or_resume(key, headers)
        sender = _Sender(self._call, {"Key": key, "UploadId": upload}, known, stored)
        try:
            await sender.send(first)
            async for piece in pieces:
                await sender.send(piece)
            await self._complete(key, upload, await sender.sent())
        except Exception:
            await sender.stop()
            with suppress(StorageFailed):  # what went wrong first says more; whoever asked for the upload discards it
                await self._abort(key, upload)
            raise
        finally:
            await sender.stop()

    async def discard(self, key: str) -> None:
        """Remove the parts of all uploads of ``key`` that were not completed."""
        for upload in await self._uploads(key):
            await self._abort(key, upload)

    async def exists(self, key: str) -> bool:
        try:
            await self._call("head_object", Key=key)
        except _Missing:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Delete an object; one that is not there is as good as deleted."""
        with contextlib.suppress(_Missing):
            await self._call("delete_object", Key=key)

    async def presigned(self, key: str, *, seconds: int) -> str:
        """A URL that fetches the object, as the attachment it was stored as, until ``seconds`` from now."""
        await self._connected()
        url: str = await self._signer.generate_presigned_url(
            "get_object", Params={"Bucket": self._options.s3_bucket, "Key": key}, ExpiresIn=seconds
        )
        return url

    async def _begin_or_resume(self, key: str, headers: dict[str, str]) -> tuple[str, dict[int, tuple[str, int]]]:
        """An upload of ``key``: the latest that was left, with the ETag and size of its parts, or a new one."""
        uploads = await self._uploads(key)
        for older in uploads[:-1]:
            await self._abort(key, older)
        for latest in uploads[-1:]:
            with suppress(_Missing):  # it has just been ended
                return latest, await self._known_parts(key, latest)
        made = await self._call("create_multipart_upload", Key=key, **headers)
        return str(made["UploadId"]), {}

    async def _uploads(self, key: str) -> list[str]:
        """Uploads of ``key`` that were not completed, oldest first."""
        try:
            listed = await self._call("list_multipart_uploads", Prefix=key)
        except _Missing:
            return []
        found = [upload for upload in listed.get("Uploads", ()) if upload["Key"] == key]
        return [str(upload["UploadId"]) for upload in sorted(found, key=lambda upload: upload["Initiated"])]

    async def _known_parts(self, key: str, upload: str) -> dict[int, tuple[str, int]]:
        known: dict[int, tuple[str, int]] = {}
        after = 0
        while True:
            listed = await self._call("list_parts", Key=key, UploadId=upload, PartNumberMarker=after)
            known |= {part["PartNumber"]: (part["ETag"], part["Size"]) for part in listed.get("Parts", ())}
            if not listed.get("IsTruncated"):
                return known
            after = listed["NextPartNumberMarker"]

    async def _complete(self, key: str, upload: str, parts: list[dict[str, Any]]) -> None:
        """Make the object of the parts visible; when a twin was faster, its object stays and the parts go."""
        target = {"Key": key, "UploadId": upload}
        try:
            await self._call("complete_multipart_upload", **target, MultipartUpload={"Parts": parts}, IfNoneMatch="*")
        except _Exists:
            await self._abort(key, upload)
        except _Missing:
            # it was completed, and the answer that said so was lost
            if not await self.exists(key):
                raise

    async def _abort(self, key: str, upload: str) -> None:
        with suppress(_Missing):
            await self._call("abort_multipart_upload", Key=key, UploadId=upload)

    async def _ensure_bucket(self) -> None:
        """Each time, since an S3 on a laptop may have been started anew and be empty."""
        try:
            await self._call("head_bucket")
        except _Missing:
            region = self._options.s3_region
            # us-east-1 is the one region that S3 refuses to hear by name
            where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            await self._call("create_bucket", **where)
            await self._call("put_bucket_lifecycle_configuration", LifecycleConfiguration=LIFECYCLE)

    async def _call(self, operation: str, **arguments: Any) -> Any:
        """The answer of S3. botocore repeats what failed; a call in which nothing moves is ended here, since its
        timeouts do not watch a request that is being sent."""
        method: Callable[..., Any] = getattr(await self._connected(), operation)
        limit_s = PAUSES_S + SILENCES * self._options.s3_timeout_s
        for attempt in range(1, SILENT_CALLS + 1):
            try:
                async with asyncio.timeout(limit_s):
                    answer = await method(Bucket=self._options.s3_bucket, **arguments)
            except TimeoutError as exc:
                self.operations[f"{operation}:timeout"] += 1
                if attempt == SILENT_CALLS:
                    raise StorageFailed(operation, f"no answer in {SILENT_CALLS} times {limit_s:g} s") from exc
            except asyncio.CancelledError:
                raise
            except Exception as exc:
                failure = _failure(operation, exc)
                missing = isinstance(failure, _Missing | _Exists)
                self.operations[f"{operation}:{'refused' if missing else 'failed'}"] += 1
                raise failure from exc
            else:
                self.operations[f"{operation}:ok"] += 1
                return answer
        raise AssertionError("the loop returns or raises")

    async def _connected(self) -> Any:
        """The client, made once. Its imports take 0.6 s of CPU, and are done in a thread: filters go on."""
        async with self._connecting:
            if self._client is None:
                session = await asyncio.to_thread(_session)
                ours, public = self._options.s3_endpoint, self._options.s3_public_endpoint
                client = signer = await self._stack.enter_async_context(_client(session, self._options, ours))
                if public is not None:  # a signature is good for the one host that it was made for
                    signer = await self._stack.enter_async_context(_client(session, self._options, public))
                self._client, self._signer = client, signer
            return self._client


class _Sender:
    """Sends the parts of one upload, some at once; those that are there already are not sent again."""

    def __init__(
        self,
        call: Callable[..., Any],
        target: dict[str, str],
        known: dict[int, tuple[str, int]],
        stored: Callable[[int], None],
    ) -> None:
        self._call, self._target, self._known, self._stored = call, target, known, stored
        self._sending: deque[asyncio.Task[str]] = deque()
        self._parts: list[dict[str, Any]] = []
        self._there = 0

    async def send(self, piece: bytes) -> None:
        """Take the next part; returns as soon as there is room for another one. Raises what a part before failed of."""
        while len(self._sending) >= IN_FLIGHT:
            await self._settle_first()
        number = len(self._parts) + len(self._sending) + 1
        self._sending.append(asyncio.create_task(self._one(number, piece), name=f"part {number}"))

    async def sent(self) -> list[dict[str, Any]]:
        """Wait for all parts; what S3 wants to hear of them."""
        while self._sending:
            await self._settle_first()
        return self._parts

    async def stop(self) -> None:
        await end_all(self._sending)
        await asyncio.gather(*self._sending, return_exceptions=True)  # so that none is reported as never heard of

    async def _settle_first(self) -> None:
        etag = await self._sending[0]
        self._sending.popleft()
        self._parts.append({"ETag": etag, "PartNumber": len(self._parts) + 1})

    async def _one(self, number: int, piece: bytes) -> str:
        etag, size = self._known.get(number, ("", 0))
        # the ETag of a part is its MD5; under a KMS key it is something else, and the part is sent again
        if size != len(piece) or etag.strip('"') != await asyncio.to_thread(_md5, piece):
            etag = (await self._call("upload_part", **self._target, PartNumber=number, Body=piece))["ETag"]
        self._there += len(piece)
        self._stored(self._there)
        return etag


def _session() -> Any:
    """A session whose files about S3 are read; the import and the reading take 0.65 s and 30 MB."""
    from aiobotocore.session import get_session

    session = get_session()
    loader = session.get_component("data_loader")
    for name in ("endpoints", "partitions", "sdk-default-configuration"):
        loader.load_data(name)
    for name in ("service-2", "endpoint-rule-set-1"):
        loader.load_service_model("s3", name)
    return session


def _client(session: Any, options: StoreOptions, endpoint: str | None) -> Any:
    from aiobotocore.config import AioConfig

    config = AioConfig(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=options.s3_timeout_s,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        # a bucket as a host name needs DNS that a local S3 does not have
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    return session.create_client("s3", region_name=options.s3_region, endpoint_url=endpoint, config=config)


def _failure(operation: str, exc: Exception) -> StorageFailed:
    """What went wrong, in words for a client: S3's own code, or the kind of network error; no host names."""
    response = getattr(exc, "response", None)
    code = str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""
    if code in _MISSING:
        return _Missing(operation, code)
    if code in _EXISTS:
        return _Exists(operation, code)
    return StorageFailed(operation, code or type(exc).__name__)


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


def _md5(piece: bytes) -> str:
    return hashlib.md5(piece, usedforsecurity=False).hexdigest()
