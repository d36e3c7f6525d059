"""Which processes are ours, and how they end: a Chrome is a session of processes with a mark.

Every Chrome is started in a session of its own and carries the state directory in its environment. A process
belongs to this agent when it, or the leader of its session, carries that mark and the user is ours. Renderers
overwrite their environment, but name their profile on the command line; the crash handler leaves the session, but
keeps the environment; so all signs are needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

MARK = "LEADFLEET_CHROME_OF"
"""Environment variable of every process of a Chrome: the agent's state directory, as an absolute path."""

GONE_WITHIN_S = 5.0
"""SIGKILL takes milliseconds; a process that writes a core or waits for a disk takes seconds."""

NICENESS = 10
"""A tenth of the share that others get of a processor that all want."""

STEP_BACK_TRIES = 20

_LOOK_AGAIN_S = 0.02


def kill_session(leader: int) -> None:
    """SIGKILL to the process group of ``leader``; harmless when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


async def step_back(leader: int) -> None:
    """Have the session of ``leader`` use what the others of its machine leave.

    Pages keep as many cores busy as there are, and what shares the machine with them (a control plane, the agent's own
    heartbeat) needs little but needs it at once: ``docs/decisions/0013-chromes-step-back.md``. As far as this kernel
    lets us: a part that it knows nothing of, or forbids, costs the others nothing but time.
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, leader, NICENESS)
    for _ in range(STEP_BACK_TRIES):
        try:
            _weigh(leader, NICENESS)
        except BlockingIOError:  # who is not root has such a wish granted once in 0.1 s, with all others together
            await asyncio.sleep(random.uniform(0.05, 0.15))  # noqa: S311 - spreads tries, guards nothing
        except OSError:
            return
        else:
            return


def members(leader: int) -> list[psutil.Process]:
    """The live processes of the session of ``leader``, zombies not counted."""
    return [process for process in _mine() if _session(process.pid) == leader and _alive(process)]


async def ended(leader: int) -> bool:
    """Whether all processes of the session are gone within `GONE_WITHIN_S`, killing what is still born."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while members(leader):
        if time.monotonic() > deadline:
            return False
        kill_session(leader)
        await asyncio.sleep(_LOOK_AGAIN_S)
    return True


def waits(pid: int) -> dict[int, float]:
    """Thread → seconds in which it could have run and had no processor, since it began (``schedstat``, sched(7)).

    Empty when the process is gone, or this kernel does not count.
    """
    found = {}
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found[int(thread.name)] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return found


def longest_wait(before: dict[int, float], after: dict[int, float]) -> float:
    """Seconds that the thread which waited longest has waited from ``before`` to ``after``, both of `waits`."""
    return max((after[thread] - before[thread] for thread in before.keys() & after.keys()), default=0.0)


def memory_of(leader: int) -> int:
    """Resident memory of a Chrome in bytes. Pages that processes share are counted once a process."""
    return memory_by_session([leader])[leader]


def memory_by_session(leaders: Collection[int]) -> dict[int, int]:
    """The same of several Chromes in one look at the machine's processes."""
    total = dict.fromkeys(leaders, 0)
    for pid in psutil.pids():
        if (leader := _session(pid)) in total:
            with contextlib.suppress(psutil.Error):
                total[leader] += psutil.Process(pid).memory_info().rss
    return total


def kill_leftovers(state: Path) -> list[int]:
    """Kill what an earlier run with this state directory left behind; returns the process ids.

    The caller holds the lock of ``state``, so whatever carries its mark has no agent any more.
    """
    leaders = {process.pid for process in _mine() if _mark(process) == str(state) or _profile_in(process, state)}
    doomed = [process for process in _mine() if process.pid in leaders or _session(process.pid) in leaders]
    for process in doomed:
        with contextlib.suppress(psutil.Error):
            process.kill()  # psutil compares the start time first: a process id that was reused is left alone
    psutil.wait_procs(doomed, timeout=GONE_WITHIN_S)
    return [process.pid for process in doomed]


def _weigh(session: int, niceness: int) -> None:
    """Where sessions have shares, theirs count, not those of their processes: sched(7)."""
    wish = os.open(f"/proc/{session}/autogroup", os.O_WRONLY)
    try:
        os.write(wish, str(niceness).encode())
    finally:
        os.close(wish)


def _mine() -> Iterator[psutil.Process]:
    own, user = os.getpid(), os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != own and process.uids().real == user:
                yield process


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


def _mark(process: psutil.Process) -> str:
    try:
        return str(process.environ().get(MARK, ""))
    except (psutil.Error, OSError):
        return ""


def _profile_in(process: psutil.Process, state: Path) -> bool:
    try:
        return f"--user-data-dir={state}/slots/" in " ".join(process.cmdline())
    except (psutil.Error, OSError):
        return False


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
