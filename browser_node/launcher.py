"""Becomes another program after asking the kernel to signal it when its starter dies, even by kill -9.

The wish (``PR_SET_PDEATHSIG``) survives ``exec``, so this file makes it and then becomes the program. A process of
its own costs 10 ms a start and, unlike ``preexec_fn``, is safe in a starter that has threads. Where the kernel
knows no such thing (macOS) the program is simply started.

The node ties its Chromes with it, the embedded stack its parts. The node also lets its Chromes step back: pages keep
as many cores busy as there are, and what shares the machine with them (a control plane, the agent's own heartbeat)
needs little but needs it at once. Why and what it brings: ``docs/decisions/0013-chromes-step-back.md``.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h

AUTOGROUP = "/proc/self/autogroup"  # sched(7)

NICENESS = 10
"""A third of the share that others get of a processor that all want."""


def tied(command: Sequence[str], death: signal.Signals, *, steps_back: bool = False) -> list[str]:
    """The command line that runs ``command`` as a process that is sent ``death`` when the caller dies.

    With ``steps_back`` it uses what the others of its machine leave; start it in a session of its own, which is what
    the kernel weighs. The kernel ties it to the calling *thread*: call from one that lives as long as you do.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death)), str(int(steps_back)), *command]


def main(starter: int, death: int, steps_back: bool, command: list[str]) -> None:
    """Tie this process to ``starter`` and become ``command``; exits 1 when the starter is already gone."""
    if steps_back:
        _step_back()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death)
        if os.getppid() != starter:
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - becoming that program is what this one is for


def _step_back() -> None:
    """As far as this kernel lets us: a part that it knows nothing of, or forbids, costs the others nothing but time."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # where sessions have shares, one counts as a whole, however nice its processes
        os.write(os.open(AUTOGROUP, os.O_WRONLY), str(NICENESS).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4:])
