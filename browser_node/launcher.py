"""Becomes Chrome after asking the kernel to kill it when the agent dies, even by kill -9.

The wish (``PR_SET_PDEATHSIG``) survives ``exec``. A process of its own costs 10 ms a launch and, unlike
``preexec_fn``, is safe in an agent that has threads. Where the kernel knows no such thing, Chrome is simply
started, and the agent's next run finds it by its mark.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tied(command: Sequence[str]) -> list[str]:
    """The command line that runs ``command`` as a process that does not outlive the caller.

    The kernel ties it to the calling *thread*: call from the main thread.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(agent: int, command: list[str]) -> None:
    """Tie this process to ``agent`` and become ``command``; exits 1 when the agent is already gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != agent:
            sys.exit(1)
    os.execv(command[0], command)  # noqa: S606 - becoming that program is what this one is for


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
