"""A Chrome that hangs, and one that stands in line for a processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from browser_node import processes
from browser_node.pulse import PING_TIMEOUT, PINGS_STARVED, Pulse
from tests.support import wait_until

WHOLE_PING_S = PING_TIMEOUT.total_seconds()


def test_one_that_answers_goes_on() -> None:
    assert not any(Pulse().hangs(answered=True, waited_s=waited) for waited in (0.0, WHOLE_PING_S))


def test_one_that_could_have_answered_hangs_at_its_first_silence() -> None:
    assert Pulse().hangs(answered=False, waited_s=0.4 * WHOLE_PING_S)


def test_one_without_a_processor_has_a_minute_from_its_last_answer() -> None:
    pulse = Pulse()
    for _ in range(2):
        pulse.hangs(answered=True, waited_s=WHOLE_PING_S)
        silences = [pulse.hangs(answered=False, waited_s=WHOLE_PING_S) for _ in range(PINGS_STARVED + 1)]
        assert silences == [False] * PINGS_STARVED + [True]


@pytest.fixture
def spinning() -> Iterator[list[int]]:
    """Processes that want one and the same processor."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
    for process in started:
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
    yield [process.pid for process in started]
    for process in started:
        process.kill()
        process.wait()
    assert processes.waits(started[0].pid) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts how long a thread waits for a processor")
async def test_who_stands_in_line_is_told_from_who_stands_still(spinning: list[int]) -> None:
    running, stopped, _ = spinning
    os.kill(stopped, signal.SIGSTOP)
    await wait_until(lambda: psutil.Process(stopped).status() == psutil.STATUS_STOPPED, 10, "one to be stopped")
    before = {pid: processes.waits(pid) for pid in (running, stopped)}
    await wait_until(
        lambda: processes.longest_wait(before[running], processes.waits(running)) > 0.3, 60, "the other to wait"
    )
    assert processes.longest_wait(before[stopped], processes.waits(stopped)) < 0.05
