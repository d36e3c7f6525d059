"""The store worker, as it is, that kills itself with SIGKILL at a chosen instant.

``python -m tests.integration.control_plane.store.killed_at FD INSTANT BEFORE DELAY_MS``: when the instant has come
BEFORE times and comes again, DELAY_MS later. FD is what the worker takes.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from control_plane.store import erasing, scripts, sink, table_files, upkeep, worker
from control_plane.store.table import ObservationLog

TIDY_EVERY = 4
FEW_FILES = 2

_still_to_pass = 0


def _die(delay_ms: float) -> None:
    global _still_to_pass
    _still_to_pass -= 1
    if _still_to_pass >= 0:
        return
    if delay_ms:
        threading.Timer(delay_ms / 1000, os.kill, (os.getpid(), signal.SIGKILL)).start()
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: Any, name: str, delay_ms: float) -> None:
    done: Callable[..., Any] = getattr(owner, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        _die(delay_ms)
        return done(*args, **kwargs)

    setattr(owner, name, dying)


def _after(owner: Any, name: str, delay_ms: float) -> None:
    done: Callable[..., Any] = getattr(owner, name)
    if asyncio.iscoroutinefunction(done):

        async def dying_later(*args: Any, **kwargs: Any) -> Any:
            result = await done(*args, **kwargs)
            _die(delay_ms)
            return result

        setattr(owner, name, dying_later)
        return

    def dying(*args: Any, **kwargs: Any) -> Any:
        result = done(*args, **kwargs)
        _die(delay_ms)
        return result

    setattr(owner, name, dying)


INSTANTS: dict[str, Callable[[float], None]] = {
    "before the commit": lambda _: _before(ObservationLog, "append", 0),
    "in the commit": lambda delay: _before(ObservationLog, "append", delay),
    "after the commit": lambda _: _after(ObservationLog, "append", 0),
    "after the cursor": lambda _: _after(scripts, "advance_cursor", 0),
    "in the tidying": lambda delay: _before(ObservationLog, "tidy", delay),
    "after the joining": lambda _: _after(upkeep, "join", 0),
    "in the erasing": lambda delay: _before(ObservationLog, "erase", delay),
    "before the files go": lambda _: _before(table_files.TableFiles, "delete", 0),
    "before a step of an erasure": lambda _: _before(erasing.Erasing, "_step", 0),
    "after a step of an erasure": lambda _: _after(erasing.Erasing, "_step", 0),
}


if __name__ == "__main__":
    sink.TIDY_EVERY, upkeep.FEW_FILES = TIDY_EVERY, FEW_FILES
    _still_to_pass = int(sys.argv[3])
    INSTANTS[sys.argv[2]](float(sys.argv[4]))
    asyncio.run(worker._main(int(sys.argv[1])))
