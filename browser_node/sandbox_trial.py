"""Takes the steps of Chrome's sandbox and prints why one failed, or nothing. Standard library only: run by its path.

A process of its own, because afterwards it is in other namespaces: ``sandbox`` asks it.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000  # linux/sched.h


def obstacle() -> str:
    """What is in the way; empty when nothing is. Changes this process for good."""
    user, group = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET) != 0:
        return f"user namespaces are denied ({os.strerror(ctypes.get_errno())})"
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        # the folder that Chrome takes: it holds nothing that could be opened from it
        os.chroot("/proc/self/fdinfo")
    except OSError as exc:
        return f"a user namespace gives no rights in itself ({exc.strerror})"
    return ""


if __name__ == "__main__":
    print(obstacle())  # noqa: T201 - what it is for
