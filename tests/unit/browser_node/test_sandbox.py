"""Whether the sandbox works is tried, not guessed; root is told apart; a node that has to have one says so and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from browser_node import sandbox, sandbox_trial
from browser_node.sandbox import Sandbox, probe
from tests.support import REPOSITORY

NOBODY = 65534

AS_NOBODY = f"""
import ctypes, os, pathlib, sys
sys.path.insert(0, {str(Path(sandbox_trial.__file__).parent)!r})
import sandbox_trial
libc = ctypes.CDLL(None)
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
libc.prctl(4, 1)  # PR_SET_DUMPABLE: who has changed its user may not even map itself
"""

root_alone = pytest.mark.skipif(os.geteuid() != 0, reason="takes on other rights, which root alone may")


def printed(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", AS_NOBODY + program], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@root_alone
def test_a_user_without_rights_may_have_one_here() -> None:
    assert printed("print(sandbox_trial.obstacle())") == ""


@root_alone
def test_where_user_namespaces_are_denied_it_says_so() -> None:
    """In a user namespace of its own, whose limit is nobody else's: none may be made below it."""
    denied = (
        f"assert libc.unshare({sandbox_trial.CLONE_NEWUSER}) == 0\n"
        f"pathlib.Path('/proc/self/uid_map').write_text('0 {NOBODY} 1')\n"
        "pathlib.Path('/proc/sys/user/max_user_namespaces').write_text('0')\n"
        "print(sandbox_trial.obstacle())"
    )
    assert "user namespaces are denied" in printed(denied)


def test_root_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found = probe()
    assert not found.works
    assert found.name == "none"
    assert "root" in found.why


def test_what_works_has_a_name() -> None:
    assert Sandbox("").works
    assert Sandbox("").name == "namespace"


def test_a_trial_that_crashes_is_no_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    crashing = tmp_path / "trial.py"
    crashing.write_text("raise SystemExit(9)")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    monkeypatch.setattr(sandbox.sandbox_trial, "__file__", str(crashing))
    assert "its trial ended with 9" in probe().why


@root_alone
def test_a_node_that_has_to_have_one_does_not_run_without(tmp_path: Path) -> None:
    settings = {"LEADFLEET_REQUIRE_SANDBOX": "true", "LEADFLEET_STATE": str(tmp_path)}
    node = subprocess.run(
        [sys.executable, "-m", "browser_node"],
        env=os.environ | settings,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert node.returncode == 1
    assert "LEADFLEET_REQUIRE_SANDBOX is set" in node.stderr
    assert "runs as root" in node.stderr
