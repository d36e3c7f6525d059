"""Becomes another program after asking the kernel to signal it when its starter dies, even by kill -9.

The wish (``PR_SET_PDEATHSIG``) survives ``exec``, so this file makes it and then becomes the program. A process of
its own costs 10 ms a start and, unlike ``preexec_fn``, is safe in a starter that has threads. Where the kernel
knows no such thing (macOS) the program is simply started. The node ties its Chromes with it, the embedded stack its
parts.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tied(command: Sequence[str], death: signal.Signals) -> list[str]:
    """The command line that runs ``command`` as a process that is sent ``death`` when the caller dies.

    The kernel ties it to the calling *thread*: call from one that lives as long as you do.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death)), *command]


def main(starter: int, death: int, command: list[str]) -> None:
    """Tie this process to ``starter`` and become ``command``; exits 1 when the starter is already gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death)
        if os.getppid() != starter:
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - becoming that program is what this one is for


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
