"""Debian packages, installed where we may and named where we may not."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from infra.bootstrap.console import say

UPDATE_TIMEOUT_S = 300
INSTALL_TIMEOUT_S = 1200  # Chromium and its libraries are 150 MB; a slow line still ends inside this


def command(*packages: str) -> str:
    """What a person types to get ``packages``."""
    return f"sudo apt-get update && sudo apt-get install -y {' '.join(packages)}"


def install(*packages: str) -> bool:
    """Install ``packages``; False when this is no Debian, we lack the rights, or apt failed (it said why)."""
    privilege = _privilege()
    if shutil.which("apt-get") is None or privilege is None:
        return False
    say(f"installing {' '.join(packages)} with apt-get")
    # a bare image has no package lists, and stale ones name files the mirrors no longer have
    updated = _run([*privilege, "apt-get", "-q", "update"], UPDATE_TIMEOUT_S)
    apt = ["apt-get", "-q", "install", "-y", "--no-install-recommends", *packages]
    return updated and _run([*privilege, *apt], INSTALL_TIMEOUT_S)


def distribution() -> str:
    """``debian``, ``ubuntu``, … as /etc/os-release spells it; empty where there is no such file."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    return fields.get("ID", "").strip('"')


def _privilege() -> list[str] | None:
    """The command prefix that makes us root: none needed, a sudo that asks nothing, or None."""
    if os.geteuid() == 0:
        return ["env", "DEBIAN_FRONTEND=noninteractive"]
    if shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0:
        return ["sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive"]
    return None


def _run(arguments: list[str], timeout_s: float) -> bool:
    """Run quietly; show the end of the output only when it failed."""
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        say(f"{' '.join(arguments)} did not end within {timeout_s:g} s")
        return False
    if done.returncode != 0:
        say(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}")
    return done.returncode == 0
