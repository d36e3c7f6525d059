"""The store worker: a process beside each API process that owns Polars and Delta.

``python -m control_plane.store.worker FD``: FD is its end of a socket pair. The first frame carries the options; then
it answers requests until the other end closes, which it does when the API process dies in whatever way.
"""

from __future__ import annotations

import asyncio
import ctypes
import functools
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from control_plane.erasure.registry import Registry
from control_plane.errors import NotFound, Problem, Unavailable
from control_plane.store import filters, wire
from control_plane.store.erasing import Erasing
from control_plane.store.exports import Exports
from control_plane.store.models import ExportRequest, FacetQuery, LeadQuery
from control_plane.store.objects import Objects, StorageFailed
from control_plane.store.options import StoreOptions
from control_plane.store.schema import Position
from control_plane.store.scratch import Scratch
from control_plane.store.sink import Sink
from control_plane.store.table import ObservationLog
from control_plane.store.views import Views
from control_plane.store.wire import Answer, Frame
from control_plane.telemetry import configure_logging
from fleet.cancellation import end_all
from fleet.connect import command_client
from fleet.keys import Keys

PR_SET_PDEATHSIG = 1  # linux/prctl.h

NICENESS = 5
"""A query may use every core for a second; the loop that answers viewers goes first."""

WARM_UP_AFTER_S = 5.0  # a stack of several processes on two cores is up by then

log = structlog.get_logger(__name__)


class Worker:
    """The store's parts and the operations that a client may ask of them."""

    def __init__(self, options: StoreOptions) -> None:
        """``options.scratch`` is this worker's own folder."""
        self._keys = Keys(options.fleet)
        self._redis = command_client(options.redis_url, name=f"store-{options.replica}")
        self._table = ObservationLog.of(options)
        self._objects = Objects(options)
        self._views = Views(self._redis, self._keys, self._table, Path(options.scratch), options.memory_mb * 1_000_000)
        self._exports = Exports(options, self._redis, self._keys, self._views, self._objects)
        registry = Registry(self._redis, self._keys)
        self._erasing = Erasing(self._redis, self._keys, registry, self._views, self._table, self._exports)
        self._sink = Sink(
            self._redis,
            self._keys,
            self._table,
            options.sink_interval_s,
            options.tidy_memory_mb,
            duty=self._erasing.resume,
        )
        self.operations: dict[str, Callable[[dict[str, Any]], Awaitable[Answer]]] = {
            "filter": self._filter,
            "facets": self._facets,
            "lead": self._lead,
            "export": self._export,
            "export_view": self._export_view,
            "trace": self._trace,
            "erase": self._erase,
            "export_cancel": self._export_cancel,
            "export_list": self._export_list,
            "health": self._health,
            "reach": self._reach,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer requests until the peer closes; the sink and the follower run meanwhile."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._redis.aclose)
            await stack.enter_async_context(self._objects)
            stack.push_async_callback(self._views.close)
            stack.push_async_callback(self._exports.close)
            roles = [
                asyncio.create_task(self._sink.run(), name="sink"),
                asyncio.create_task(self._views.follow(), name="follow"),
                asyncio.create_task(self._exports.tend(), name="exports"),
                asyncio.create_task(self._warm_up(), name="warm up"),
            ]
            stack.push_async_callback(end_all, roles)
            await _Conversation(self, reader, writer).run()

    async def _filter(self, args: dict[str, Any]) -> Answer:
        view = await self._views.of(args["tenant"])
        query = LeadQuery.model_validate(args["query"])
        return Answer(body=await asyncio.to_thread(filters.page, view.snapshot, query, view.standing_id))

    async def _facets(self, args: dict[str, Any]) -> Answer:
        view = await self._views.of(args["tenant"])
        query = FacetQuery.model_validate(args["query"])
        return Answer(body=await asyncio.to_thread(filters.facets, view.snapshot, query, view.standing_id))

    async def _lead(self, args: dict[str, Any]) -> Answer:
        view = await self._views.of(args["tenant"])
        lead_id = view.standing_id(args["lead_id"])
        lead = await asyncio.to_thread(view.lead, lead_id)
        if lead is None:
            raise NotFound("lead", args["lead_id"])
        observations = await asyncio.to_thread(view.sightings, lead_id)
        return Answer(
            {
                "lead": orjson.loads(lead),
                "aliases": view.aliases_of(lead_id),
                "observations": [each.lead.model_dump(mode="json", exclude_defaults=True) for each in observations],
            }
        )

    async def _export(self, args: dict[str, Any]) -> Answer:
        request = ExportRequest.model_validate(args["request"])
        made = await self._exports.create(args["tenant"], request, args["wait_s"])
        return Answer(made.model_dump(mode="json"))

    async def _export_view(self, args: dict[str, Any]) -> Answer:
        found = await self._exports.get(args["tenant"], args["export"], args["wait_s"])
        return Answer(found.model_dump(mode="json"))

    async def _trace(self, args: dict[str, Any]) -> Answer:
        view = await self._views.of(args["tenant"])
        sightings = await asyncio.to_thread(view.sightings, args["lead_id"])
        if not sightings:
            raise NotFound("lead", args["lead_id"])
        phones = [phone.model_dump(mode="json") for seen in sightings for phone in seen.lead.phones]
        ids = await asyncio.to_thread(view.all_ids, [args["lead_id"]])
        return Answer({"lead_ids": sorted(ids), "phones": phones})

    async def _erase(self, args: dict[str, Any]) -> Answer:
        await self._erasing.find(args["tenant"], args["erasure"])
        await self._views.of(args["tenant"])
        done = await self._erasing.wait(args["tenant"], args["erasure"], args["wait_s"])
        return Answer(done.model_dump(mode="json"))

    async def _export_cancel(self, args: dict[str, Any]) -> Answer:
        ended = await self._exports.cancel(args["tenant"], args["export"])
        return Answer(ended.model_dump(mode="json"))

    async def _export_list(self, args: dict[str, Any]) -> Answer:
        found = await self._exports.list(args["tenant"], args["limit"], args["cursor"])
        return Answer(found.model_dump(mode="json"))

    async def _warm_up(self) -> None:
        """Have the S3 client ready before somebody exports, once the stack around us has started."""
        await asyncio.sleep(WARM_UP_AFTER_S)
        try:
            await self._objects.connect()
        except Exception as exc:  # whatever is wrong with the settings, an export says it to who asks for one
            log.warning("the client of object storage could not be made", reason=str(exc))

    async def _reach(self, _: dict[str, Any]) -> Answer:
        await self._objects.reach()
        return Answer()

    async def _health(self, _: dict[str, Any]) -> Answer:
        cursor = await self._redis.hgetall(self._keys.sink_cursor())
        waiting = await self._redis.xlen(self._keys.results())
        return Answer(
            {
                "pid": os.getpid(),
                "results_waiting": waiting,
                "stored_until": str(Position.parse(cursor.get(b"cursor", b"0-0"))),
                "batches_stored": int(cursor.get(b"batch", 0)),
                "sink": {"rows": self._sink.rows, "batches": self._sink.batches, "refused": self._sink.refused},
                "view_rows": self._views.rows(),
                "view_bytes": self._views.cache.bytes,
                "object_operations": dict(self._objects.operations),
            }
        )


class _Conversation:
    """One connection: requests in, replies out in the order they are done."""

    def __init__(self, worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._worker, self._reader, self._writer = worker, reader, writer
        self._running: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        try:
            while True:
                frame = await wire.read(self._reader)
                if (withdrawn := frame.header.get("cancel")) is not None:
                    if task := self._running.get(withdrawn):
                        task.cancel()
                    continue
                number = frame.header["id"]
                task = asyncio.create_task(self._answer(frame.header), name=f"request {number}")
                self._running[number] = task
                task.add_done_callback(functools.partial(self._forget, number))
        except (asyncio.IncompleteReadError, ConnectionError):
            log.debug("the API process has gone")
        finally:
            await end_all(self._running.values())
            self._writer.close()

    def _forget(self, number: int, _: asyncio.Task[None]) -> None:
        self._running.pop(number, None)

    async def _answer(self, header: dict[str, Any]) -> None:
        number = header["id"]
        try:
            answer = await self._worker.operations[header["op"]](header["args"])
            reply = Frame({"id": number, "ok": answer.members}, answer.body)
        except Problem as problem:
            reply = Frame({"id": number, "problem": wire.problem_members(problem)})
        except StorageFailed as exc:
            reply = Frame({"id": number, "problem": wire.problem_members(Unavailable(str(exc)))})
        except (RedisError, OSError) as exc:
            log.warning("a request waits for the store", op=header["op"], reason=str(exc))
            unavailable = Unavailable("the leads store cannot reach its data; try again")
            reply = Frame({"id": number, "problem": wire.problem_members(unavailable)})
        except Exception:
            log.exception("a request failed", op=header["op"])
            internal = Problem("the leads store could not answer this")
            reply = Frame({"id": number, "problem": wire.problem_members(internal)})
        self._writer.write(wire.encode(reply))
        await self._writer.drain()


async def _main(descriptor: int) -> None:
    os.nice(NICENESS)
    reader, writer = await asyncio.open_connection(sock=socket.socket(fileno=descriptor))
    hello = await wire.read(reader)
    options = StoreOptions.from_json(hello.header["options"])
    configure_logging(options.log_level, replica=options.replica)
    with Scratch(Path(options.scratch)) as scratch:
        await _serve(Worker(replace(options, scratch=str(scratch.path))), reader, writer)


async def _serve(worker: Worker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    serving = asyncio.create_task(worker.serve(reader, writer), name="serve")
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C in a terminal: the API process ends us in order
    try:
        await serving
    except asyncio.CancelledError:
        log.debug("the store worker was told to end")


def _die_with_parent() -> None:
    """The closing socket already tells; the kernel's word also reaches a worker that is busy or stopped."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    _die_with_parent()
    asyncio.run(_main(int(sys.argv[1])))
