"""The leads store as the API process sees it: a worker process, its socket, and typed calls.

The API process never imports Polars or Delta. A worker that dies is started again; calls it had not answered fail with
``Unavailable``, and a repetition finds the new one. Nothing is lost with a worker: what it knows is in the log and
on the results stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import sys
from typing import Any

import structlog

from control_plane.erasure.models import ErasureView
from control_plane.errors import Unavailable
from control_plane.settings import Settings
from control_plane.store import wire
from control_plane.store.models import ExportPage, ExportRequest, ExportView, FacetQuery, LeadQuery
from control_plane.store.options import StoreOptions
from control_plane.store.wire import Frame
from fleet.cancellation import to_the_end
from leads.model import Phone

CALL_TIMEOUT_S = 30.0
"""Far beyond any filter; what takes longer is an export, which is asked about instead of waited for."""

EXPORT_WAIT_S = 20.0
"""How long a plain download link is held for its file; then the client is told to come again."""

ERASE_WAIT_S = 10.0
"""How long an answer is held for an erasure to be done; the sink looks every two seconds."""

START_LIMIT_S = 90.0
"""What has answered nothing after this does not start, it hangs. It took 50 s on two cores that 80 processes wanted."""

START_WAIT_S = 25.0  # importing Polars takes a second, and ten times that on a machine that is overloaded
STOP_WAIT_S = 10.0
RESTART_PAUSE_S = 0.5
"""A worker that dies at once is not started more often than twice a second."""

log = structlog.get_logger(__name__)


class LeadStore:
    """``start`` it with the app, ``close`` it with it. All calls raise ``Problem`` subclasses."""

    def __init__(self, options: StoreOptions) -> None:
        self._options = options
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Frame]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._connected = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._may_start_until = 0.0
        """By the loop's clock; 0 once the worker has answered anything."""
        self.restarts = 0

    @classmethod
    def from_settings(cls, settings: Settings) -> LeadStore:
        return cls(StoreOptions.of(settings))

    async def start(self) -> None:
        """Start the worker; calls made before it is ready wait for it."""
        self._keeper = asyncio.create_task(self._keep(), name="store worker")

    async def close(self) -> None:
        """Let the worker finish its batch and end."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None

    @property
    def worker_pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def starting(self) -> bool:
        """Whether a worker runs that has answered nothing yet, and may still be importing."""
        return asyncio.get_running_loop().time() < self._may_start_until

    async def health(self) -> dict[str, Any]:
        """``status`` (healthy or unhealthy), and what the worker says of itself."""
        try:
            members = (await self._call("health", {}, timeout_s=2.0)).header["ok"]
        except Unavailable as exc:
            return {"status": "unhealthy", "detail": exc.detail, "restarts": self.restarts}
        return {"status": "healthy", **members, "restarts": self.restarts}

    async def reach(self, limit_s: float) -> None:
        """Have the worker ask object storage for our bucket; Unavailable when there is no answer within ``limit_s``."""
        await self._call("reach", {}, timeout_s=limit_s)

    async def filter(self, tenant: str, query: LeadQuery) -> bytes:
        """A ``LeadPage`` as JSON, passed on as it is."""
        return (await self._call("filter", {"tenant": tenant, "query": _plain(query)})).body

    async def facets(self, tenant: str, query: FacetQuery) -> bytes:
        """``Facets`` as JSON."""
        return (await self._call("facets", {"tenant": tenant, "query": _plain(query)})).body

    async def lead(self, tenant: str, lead_id: str) -> dict[str, Any]:
        """A ``LeadDetail``; NotFound, aliases are followed."""
        members: dict[str, Any] = (await self._call("lead", {"tenant": tenant, "lead_id": lead_id})).header["ok"]
        return members

    async def export(self, tenant: str, request: ExportRequest, *, wait_s: float = EXPORT_WAIT_S) -> ExportView:
        """The export of a request, made or found; unfinished when it takes longer than ``wait_s``."""
        args = {"tenant": tenant, "request": _plain(request), "wait_s": wait_s}
        return ExportView.model_validate((await self._call("export", args)).header["ok"])

    async def export_view(self, tenant: str, export: str, *, wait_s: float = 0) -> ExportView:
        """An export as it stands; NotFound."""
        args = {"tenant": tenant, "export": export, "wait_s": wait_s}
        return ExportView.model_validate((await self._call("export_view", args)).header["ok"])

    async def trace(self, tenant: str, lead_id: str) -> tuple[list[str], list[Phone]]:
        """``(ids, phones)``: all that a lead goes by, and the numbers it was seen with; NotFound."""
        members = (await self._call("trace", {"tenant": tenant, "lead_id": lead_id})).header["ok"]
        return members["lead_ids"], [Phone.model_validate(phone) for phone in members["phones"]]

    async def erase(self, tenant: str, erasure: str, *, wait_s: float = ERASE_WAIT_S) -> ErasureView:
        """Have an erasure known to all views; the erasure once it is done, or as it stands after ``wait_s``."""
        args = {"tenant": tenant, "erasure": erasure, "wait_s": wait_s}
        return ErasureView.model_validate((await self._call("erase", args)).header["ok"])

    async def export_cancel(self, tenant: str, export: str) -> ExportView:
        """End an export that has not ended; NotFound."""
        args = {"tenant": tenant, "export": export}
        return ExportView.model_validate((await self._call("export_cancel", args)).header["ok"])

    async def export_list(self, tenant: str, *, limit: int, cursor: str | None = None) -> ExportPage:
        """The tenant's exports, latest first; BadRequest for a cursor that is none."""
        args = {"tenant": tenant, "limit": limit, "cursor": cursor}
        return ExportPage.model_validate((await self._call("export_list", args)).header["ok"])

    async def _call(self, operation: str, args: dict[str, Any], timeout_s: float = CALL_TIMEOUT_S) -> Frame:
        number = next(self._numbers)
        reply: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                async with asyncio.timeout(START_WAIT_S):
                    await self._connected.wait()
                self._waiting[number] = reply
                self._send(Frame({"id": number, "op": operation, "args": args}))
                frame = await reply
        except TimeoutError as exc:
            self._withdraw(number)
            raise Unavailable(f"the leads store did not answer a {operation} in time; try again") from exc
        except asyncio.CancelledError:
            self._withdraw(number)
            raise
        finally:
            self._waiting.pop(number, None)
        if (problem := frame.header.get("problem")) is not None:
            raise wire.problem_from(problem)
        return frame

    def _withdraw(self, number: int) -> None:
        if number in self._waiting:
            self._send(Frame({"cancel": number}))

    def _send(self, frame: Frame) -> None:
        if self._writer is None:
            raise Unavailable("the leads store is starting again; try again")
        self._writer.write(wire.encode(frame))

    async def _keep(self) -> None:
        """Have a worker run for as long as this task does."""
        while True:
            await self._one_life()
            self.restarts += 1
            log.warning("the store worker died and is started again", restarts=self.restarts)
            await asyncio.sleep(RESTART_PAUSE_S)

    async def _one_life(self) -> None:
        """One worker, from its start to its end; cancelled, the worker ends in order."""
        ours, its = socket.socketpair()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "control_plane.store.worker", str(its.fileno())), pass_fds=(its.fileno(),)
            )
        except BaseException:
            ours.close()
            raise
        finally:
            its.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            self._send(Frame({"options": self._options.to_json()}))
            self._may_start_until = asyncio.get_running_loop().time() + START_LIMIT_S
            self._connected.set()
            while True:
                frame = await wire.read(reader)
                self._may_start_until = 0.0
                waiting = self._waiting.get(frame.header["id"])
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
        except (asyncio.IncompleteReadError, ConnectionError, wire.OutOfStep) as exc:
            log.info("the store worker's socket closed", reason=str(exc))
        finally:
            self._may_start_until = 0.0
            self._connected.clear()
            self._writer.close()
            self._writer = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Unavailable("the leads store is starting again; try again"))
            await to_the_end(self._reap())

    async def _reap(self) -> None:
        """The worker ends by itself when the socket closes; told as well, it also ends while it still imports."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_WAIT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def _plain(model: LeadQuery | FacetQuery | ExportRequest) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
