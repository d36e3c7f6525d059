"""What a node may ask of the kernel: what Chromium's sandbox needs, and nothing that breaks out of one."""

from __future__ import annotations

import json

from infra import seccomp

NOT_FOR_PAGES = {
    "add_key", "bpf", "delete_module", "fsopen", "init_module", "io_uring_setup", "kexec_load", "keyctl", "mount",
    "move_mount", "open_by_handle_at", "open_tree", "perf_event_open", "pidfd_getfd", "pivot_root", "process_vm_readv",
    "process_vm_writev", "ptrace", "reboot", "setns", "shmat", "swapon", "syslog", "umount2", "userfaultfd",
}  # fmt: skip


def allowed() -> list[dict[str, object]]:
    return [rule for rule in seccomp.profile()["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]


def test_the_file_is_what_the_list_says() -> None:
    """``python3 -m infra.seccomp`` writes it."""
    assert seccomp.PROFILE.read_text(encoding="utf-8") == seccomp.text()


def test_what_is_not_listed_is_refused() -> None:
    profile = json.loads(seccomp.text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    names = [name for rule in allowed() for name in rule["names"]]  # type: ignore[attr-defined]
    assert NOT_FOR_PAGES.isdisjoint(names)
    assert len(names) - len(set(names)) == 3, "socket has a rule a family, everything else is there once"


def test_the_sandbox_of_chromium_has_its_calls() -> None:
    names = {name for rule in allowed() if "args" not in rule for name in rule["names"]}  # type: ignore[attr-defined]
    assert {"clone", "unshare", "chroot", "seccomp", "capset"} <= names


def test_a_socket_has_a_family_and_the_kernel_speaks_of_routes_alone() -> None:
    sockets = [rule["args"] for rule in allowed() if rule["names"] == ["socket"]]
    assert [[(argument["index"], argument["value"]) for argument in rule] for rule in sockets] == [  # type: ignore[attr-defined]
        [(0, 1)],
        [(0, 2)],
        [(0, 10)],
        [(0, 16), (2, 0)],
    ]
