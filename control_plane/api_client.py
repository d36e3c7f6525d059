"""The command line's side of the public API: where it is, which key opens it, and errors in words."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from control_plane.local_state import state_directory

DEFAULT_URL = "http://127.0.0.1:8000"
CALL_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)
DOWNLOAD_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=5, sock_read=60)  # a large file may take minutes

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class ApiError(Exception):
    """The API refused or could not be reached; the message is for a person at a terminal."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API is, what opens it, and what is said when it does not."""

    url: str
    key: str | None
    key_hint: str = ""

    @classmethod
    def find(cls) -> Address:
        """From LEADFLEET_URL and LEADFLEET_API_KEY, else from what a local stack left in its state directory.

        Raises ApiError for an address that is none.
        """
        state = state_directory()
        url = (os.environ.get("LEADFLEET_URL") or _local_url(state)).rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ApiError(
                f"LEADFLEET_URL is {url!r}: it must begin with http:// or https://, such as http://localhost:8000"
            )
        if key := os.environ.get("LEADFLEET_API_KEY"):
            return cls(url, key, "the key in LEADFLEET_API_KEY was refused: is it one of this API's, and not revoked?")
        file = state / "api_key"
        if parts.hostname not in LOOPBACK:
            return cls(url, None, f"set LEADFLEET_API_KEY: the key in {file} is sent to this machine only")
        try:
            key = file.read_text().strip()
        except OSError as error:
            hint = (
                f"no API key: LEADFLEET_API_KEY is not set, and {file} cannot be read ({error.strerror}). Set "
                "LEADFLEET_API_KEY, or LEADFLEET_STATE to the state directory that `leadfleet up` named"
            )
            return cls(url, None, hint)
        return cls(url, key, f"the key in {file} was refused: set LEADFLEET_API_KEY to one of the API at {url}")


class Api:
    """``async with Api(address) as api``: calls that return JSON, or raise ApiError."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Api:
        self._session = aiohttp.ClientSession(timeout=CALL_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, path: str, **params: str | int) -> Any:
        return await self._call("GET", path, params={k: str(v) for k, v in params.items()})

    async def post(self, path: str, body: Any = None) -> Any:
        return await self._call("POST", path, json={} if body is None else body)

    async def delete(self, path: str, body: Any = None) -> Any:
        return await self._call("DELETE", path, **({} if body is None else {"json": body}))

    async def download(self, url: str, target: Path) -> int:
        """The bytes behind a presigned URL into ``target``; how many there were."""
        written = 0
        try:
            # without our headers: the URL carries its own permission
            async with self._open().get(url, timeout=DOWNLOAD_TIMEOUT) as answer:
                if answer.status != 200:
                    raise ApiError(f"the download failed with status {answer.status}", answer.status)
                with target.open("wb") as output:
                    async for chunk in answer.content.iter_chunked(1 << 16):
                        written += output.write(chunk)
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise ApiError(f"the download broke off after {written} bytes ({_reason(exc)}): try again") from exc
        except OSError as exc:
            raise ApiError(f"{target} could not be written ({exc.strerror})") from exc
        return written

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        # RFC 7240: what takes longer is answered with how far it is, which a person would rather see
        headers = self._headers | {"Accept": "application/json", "Prefer": "wait=1"}
        try:
            async with self._open().request(method, self.address.url + path, headers=headers, **options) as answer:
                text = await answer.text()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise ApiError(
                f"nobody answers at {self.address.url} ({_reason(exc)}): start a stack with `leadfleet up`, or set "
                "LEADFLEET_URL"
            ) from exc
        try:
            body = json.loads(text)
        except ValueError as exc:
            raise ApiError(f"{method} {path} answered {status} with something that is not JSON", status) from exc
        if status == 401:
            raise ApiError(self.address.key_hint or body.get("detail"), status)
        if status >= 400:
            raise ApiError(_in_words(status, body), status)
        return body

    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with`"
        return self._session


def _local_url(state: Path) -> str:
    try:
        url: str = json.loads((state / "stack.json").read_text())["urls"][0]
    except (OSError, ValueError, KeyError, IndexError):
        return DEFAULT_URL
    return url


def _reason(error: Exception) -> str:
    """Why a connection failed, without the library's words for where it was going."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        return os.strerror(error.errno or 0).lower()
    return str(error) or type(error).__name__


def _in_words(status: int, problem: dict[str, Any]) -> str:
    lines = [problem.get("detail") or f"the API answered {status}"]
    lines += [
        f"  {'.'.join(str(step) for step in error['loc'])}: {error['message']}"
        for error in problem.get("errors", [])[1:]
    ]
    return "\n".join(lines)
