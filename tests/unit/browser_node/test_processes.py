"""Sessions of processes that leave the processor to others."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from browser_node import processes

NOBODY = 65_534


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists() or os.geteuid() != 0,
    reason="the kernel does not weigh sessions, or this user cannot become another one",
)
def test_sessions_of_a_user_without_rights_step_back_although_the_kernel_takes_one_wish_at_a_time() -> None:
    started = [subprocess.Popen(["sleep", "60"], start_new_session=True, user=NOBODY) for _ in range(4)]
    sessions = [process.pid for process in started]
    try:
        assert _status_of_nobody(sessions) == 0
        shares = [Path(f"/proc/{session}/autogroup").read_text().split()[-1] for session in sessions]
        assert shares == [str(processes.NICENESS)] * len(sessions)
        lowest = max(processes.NICENESS, os.getpriority(os.PRIO_PROCESS, 0))  # who steps back already stays there
        assert {os.getpriority(os.PRIO_PROCESS, session) for session in sessions} == {lowest}
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()


def test_a_session_that_has_ended_is_no_error() -> None:
    gone = subprocess.Popen(["true"], start_new_session=True)
    gone.wait()
    asyncio.run(processes.step_back(gone.pid))


def _status_of_nobody(sessions: list[int]) -> int:
    """A user without rights has all step back at once; 0 when that went well."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    status = 1
    try:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        asyncio.run(_all_step_back(sessions))
        status = 0
    finally:
        os._exit(status)


async def _all_step_back(sessions: list[int]) -> None:
    await asyncio.gather(*map(processes.step_back, sessions))
