"""Whether Chrome can contain its renderers here: found out by taking the steps that it takes.

Chrome puts what reads pages into user, process and network namespaces of its own, and there into an empty folder.
Container engines refuse that by default, some kernels to everybody but root, and Chrome itself refuses it to root.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

from browser_node import sandbox_trial
from fleet.errors import FleetError

TRIAL_TIMEOUT_S = 20  # 30 ms, and many times that when everything of a machine starts at once


class SandboxMissing(FleetError):
    """``LEADFLEET_REQUIRE_SANDBOX`` is set where the sandbox does not work."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"LEADFLEET_REQUIRE_SANDBOX is set, and Chrome's sandbox does not work here: {why}; run as another user "
            "than root, allow user namespaces (in a container: infra/seccomp_node.json), or take the setting back"
        )


@dataclass(frozen=True, slots=True)
class Sandbox:
    """``why`` says what is in its way, and is empty when it works."""

    why: str

    @property
    def works(self) -> bool:
        return not self.why

    @property
    def name(self) -> str:
        """As the node's record has it."""
        return "namespace" if self.works else "none"


def probe() -> Sandbox:
    """Look; 30 ms."""
    if os.geteuid() == 0:
        return Sandbox("the agent runs as root")
    if sys.platform != "linux":
        return Sandbox("")  # other systems have means that ask for nothing
    command = [sys.executable, "-I", "-S", sandbox_trial.__file__]
    try:
        trial = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return Sandbox(f"it could not be tried: {exc}")
    return Sandbox(trial.stdout.strip() if trial.returncode == 0 else f"its trial ended with {trial.returncode}")
