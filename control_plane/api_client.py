"""The command line's side of the public API: where it is, which key opens it, and errors in words."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = aiohttp.ClientTimeout(total=60, connect=5)


class ApiError(Exception):
    """The API refused or could not be reached; the message is for a person at a terminal."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API is and what opens it."""

    url: str
    key: str | None

    @classmethod
    def find(cls, state: Path) -> Address:
        """From LEADFLEET_URL and LEADFLEET_API_KEY, else from what a local stack left in its state directory."""
        url = os.environ.get("LEADFLEET_URL")
        key = os.environ.get("LEADFLEET_API_KEY")
        if not url:
            try:
                url = json.loads((state / "stack.json").read_text())["urls"][0]
            except (OSError, ValueError, KeyError, IndexError):
                url = DEFAULT_URL
        if not key:
            try:
                key = (state / "api_key").read_text().strip()
            except OSError:
                key = None
        return cls(url.rstrip("/"), key)


class Api:
    """``async with Api(address) as api``: calls that return JSON, or raise ApiError."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._headers = {"Authorization": f"Bearer {address.key}"} if address.key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Api:
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
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

    async def delete(self, path: str) -> Any:
        return await self._call("DELETE", path)

    async def download(self, url: str, target: Path) -> int:
        """The bytes behind a presigned URL into ``target``; how many there were."""
        written = 0
        async with self._open().get(url) as answer:
            if answer.status != 200:
                raise ApiError(f"the download failed with status {answer.status}")
            with target.open("wb") as output:
                async for chunk in answer.content.iter_chunked(1 << 16):
                    written += output.write(chunk)
        return written

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        headers = self._headers | {"Accept": "application/json"}
        try:
            async with self._open().request(method, self.address.url + path, headers=headers, **options) as answer:
                text = await answer.text()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise ApiError(
                f"nobody answers at {self.address.url} ({exc}): start a stack with `leadfleet up`, or set LEADFLEET_URL"
            ) from exc
        try:
            body = json.loads(text)
        except ValueError as exc:
            raise ApiError(f"{method} {path} answered {status} with something that is not JSON") from exc
        if status >= 400:
            raise ApiError(_in_words(status, body))
        return body

    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "use `async with`"
        return self._session


def _in_words(status: int, problem: dict[str, Any]) -> str:
    lines = [problem.get("detail") or f"the API answered {status}"]
    lines += [
        f"  {'.'.join(str(step) for step in error['loc'])}: {error['message']}"
        for error in problem.get("errors", [])[1:]
    ]
    if status == 401:
        lines.append("set LEADFLEET_API_KEY, or run this where the stack's state directory is (LEADFLEET_STATE)")
    return "\n".join(lines)
