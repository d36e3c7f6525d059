"""``python3 -m infra.seccomp``: write ``infra/seccomp_node.json``, what a node's container may ask of the kernel.

An allow-list of our own: what the agent, Playwright's driver and Chromium use, by what it is for. Everything else is
EPERM. It differs from an engine's default list in both directions:

* Chromium's sandbox works: new user, process and network namespaces, and a folder without anything as its root.
* What pages have broken out of sandboxes with is not there: tracing, io_uring, BPF, keyrings, mounting, SysV IPC, and
  sockets of other families than Unix, IP and the routing table (a user namespace of its own would open the firewall's).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PROFILE = Path(__file__).resolve().parent / "seccomp_node.json"

ENOSYS = 38  # errno.h

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16  # linux/socket.h
NETLINK_ROUTE = 0  # linux/netlink.h

ALLOWED: dict[str, str] = {
    "files": """
        access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64
        fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync flock fstat fstatfs fsync ftruncate
        futimesat getcwd getdents getdents64 inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown
        link linkat lseek lstat memfd_create mkdir mkdirat newfstatat open openat openat2 pipe pipe2 pread64 preadv
        preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv rename renameat renameat2 rmdir
        sendfile splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink
        unlinkat utime utimensat utimes write writev""",
    "attributes of files": """
        fgetxattr flistxattr fremovexattr fsetxattr getxattr lgetxattr listxattr llistxattr lremovexattr lsetxattr
        removexattr setxattr""",
    "memory": """
        brk madvise membarrier mincore mlock mlock2 mlockall mmap mprotect mremap msync munlock munlockall munmap
        pkey_alloc pkey_free pkey_mprotect""",
    "processes and threads": """
        arch_prctl clone execve execveat exit exit_group fork futex futex_waitv get_robust_list getcpu getpgid getpgrp
        getpid getppid getpriority getrlimit getrusage getsid gettid ioprio_get ioprio_set kill pidfd_open
        pidfd_send_signal prctl prlimit64 restart_syscall rseq sched_get_priority_max sched_get_priority_min
        sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
        sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list set_tid_address setpgid setpriority
        setrlimit setsid sysinfo tgkill times tkill uname vfork wait4 waitid""",
    "users": """
        getegid geteuid getgid getgroups getresgid getresuid getuid setgid setregid setresgid setresuid setreuid
        setuid""",
    "signals": """
        alarm getitimer pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
        rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4""",
    "time and chance": """
        clock_getres clock_gettime clock_nanosleep getrandom gettimeofday nanosleep time timer_create timer_delete
        timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime""",
    "waiting": """
        epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 poll ppoll pselect6
        select""",
    "connections": """
        accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
        sendto setsockopt shutdown socketpair""",
    "Chromium's sandbox": """
        capget capset chroot seccomp unshare""",
}


def profile() -> dict[str, Any]:
    """In the form that ``docker run --security-opt seccomp=FILE`` takes."""
    rules: list[dict[str, Any]] = [
        {"comment": what, "names": calls.split(), "action": "SCMP_ACT_ALLOW"} for what, calls in ALLOWED.items()
    ]
    rules += [_socket(f"socket of family {family}", _equal(0, family)) for family in (AF_UNIX, AF_INET, AF_INET6)]
    rules.append(_socket("the routing table", _equal(0, AF_NETLINK), _equal(2, NETLINK_ROUTE)))
    # its arguments lie in memory, where no filter sees them; the C library then takes clone
    rules.append({"comment": "unknown", "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": rules,
    }


def text() -> str:
    """The file's content."""
    return json.dumps(profile(), indent=1) + "\n"


def _socket(what: str, *arguments: dict[str, Any]) -> dict[str, Any]:
    return {"comment": what, "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


if __name__ == "__main__":
    PROFILE.write_text(text(), encoding="utf-8")
