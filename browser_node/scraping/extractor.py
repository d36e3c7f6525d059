"""Extraction off the event loop, in a process of its own that is started anew when it dies or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from browser_node.scraping.errors import VisitFailed
from browser_node.scraping.wire import LENGTH, body_length, decode, encode
from leads.model import Lead

TIMEOUT = timedelta(seconds=10)
"""Per page. The usual page takes milliseconds; a megabyte of text about a second."""

START_TIMEOUT = timedelta(seconds=30)
"""The first answer includes the interpreter's start and the tables of libphonenumber, on a busy machine."""

MAX_LEADS = 200
"""Of one page; a listing has at most some dozens."""

_LEADS = TypeAdapter(list[Lead])
_ROOT = Path(__file__).resolve().parents[2]


class ProcessExtractor:
    """One worker process for all slots of a node. ``async with`` starts it warm and ends it."""

    def __init__(self, timeout: timedelta = TIMEOUT) -> None:
        self._timeout = timeout
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self.restarts = 0

    async def __aenter__(self) -> Self:
        await self.extract("", "http://localhost/")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def pid(self) -> int | None:
        """The worker's process id, None while none runs."""
        return self._process.pid if self._process is not None else None

    async def extract(self, html: str, url: str) -> list[Lead]:
        """The businesses of a page. VisitFailed ``extraction_failed`` when the page is too much for the worker."""
        async with self._turn:
            answer = await self._ask({"html": html, "url": url})
        if "error" in answer:
            raise VisitFailed("extraction_failed", f"{url} could not be read: {answer['error']}")
        try:
            return _LEADS.validate_python(answer["leads"][:MAX_LEADS])
        except (ValidationError, KeyError, TypeError) as exc:
            raise VisitFailed("extraction_failed", f"{url} gave values that are no leads") from exc

    async def close(self) -> None:
        """End the worker; the next ``extract`` would start another."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(ConnectionError):
                await process.stdin.wait_closed()

    async def _ask(self, question: dict[str, str]) -> dict[str, Any]:
        is_first = self._process is None
        process = self._process or await self._start()
        limit = START_TIMEOUT if is_first else self._timeout
        try:
            return await asyncio.wait_for(_exchange(process, question), limit.total_seconds())
        except TimeoutError as exc:
            await self._restart()
            detail = f"{question['url']} took longer than {limit.total_seconds():g} s to read"
            raise VisitFailed("extraction_failed", detail) from exc
        except (ConnectionError, asyncio.IncompleteReadError, ValueError) as exc:
            await self._restart()
            detail = f"the extraction worker died over {question['url']}"
            raise VisitFailed("extraction_failed", detail, retryable=True) from exc
        except asyncio.CancelledError:
            await self._restart()  # half an exchange is in the pipe: nobody may read on from there
            raise

    async def _restart(self) -> None:
        self.restarts += 1
        await self.close()

    async def _start(self) -> asyncio.subprocess.Process:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH", ""))))
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "browser_node.scraping.extract_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        return self._process


async def _exchange(process: asyncio.subprocess.Process, question: dict[str, str]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(encode(question))
    await process.stdin.drain()
    head = await process.stdout.readexactly(LENGTH.size)
    answer: dict[str, Any] = decode(await process.stdout.readexactly(body_length(head)))
    return answer
