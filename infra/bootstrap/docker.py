"""A Docker engine: the one that runs, else the distribution's, installed and started where we may.

What was started here is stopped here: `engine` is the engine for as long as its block lasts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from infra.bootstrap import apt
from infra.bootstrap.console import SetupError, say

DEBIAN_PACKAGES = ("docker.io", "docker-compose")

ANSWER_TIMEOUT_S = 20
START_TIMEOUT_S = 60  # 3 s; minutes of slow disks are another matter, and are said
STOP_TIMEOUT_S = 60  # it stops its containers first
POLL_S = 0.2


class EngineMissing(SetupError):
    """No Docker engine can be had here; the message says what to do."""


@contextlib.contextmanager
def engine() -> Iterator[None]:
    """An engine that answers, for as long as the block lasts. Raises EngineMissing."""
    daemon = ensure_running()
    try:
        yield
    finally:
        if daemon is not None:
            _stop(daemon)


def ensure_running() -> subprocess.Popen[bytes] | None:
    """Have an engine that answers; what was started for it, and is the caller's to end. Raises EngineMissing."""
    if answers():
        return None
    install()
    if os.geteuid() != 0:
        raise EngineMissing("no Docker engine answers: start it, or run this as root, which may start one")
    return _start()


def answers() -> bool:
    """Whether the client reaches an engine that we may use."""
    try:
        asked = subprocess.run(["docker", "info"], capture_output=True, timeout=ANSWER_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def compose() -> list[str]:
    """How Compose is called here: today's plugin, else the program of old. Raises EngineMissing."""
    for command in (["docker", "compose"], ["docker-compose"]):
        with contextlib.suppress(OSError):
            if subprocess.run([*command, "version"], capture_output=True).returncode == 0:
                return command
    raise EngineMissing(f"Docker Compose is missing.\n  {apt.command(*DEBIAN_PACKAGES)}")


def install() -> None:
    """See to it that engine and Compose are installed. Raises EngineMissing."""
    if shutil.which("dockerd") and _has_compose():
        return
    if os.geteuid() != 0 or apt.distribution() != "debian" or not apt.install(*DEBIAN_PACKAGES):
        raise EngineMissing(
            "no Docker engine answers, and none could be installed here: start yours, or as root on Debian\n"
            f"  {apt.command(*DEBIAN_PACKAGES)}"
        )


def ensure_debootstrap() -> None:
    """See to it that base images can be made out of packages, whoever started the engine. Raises SetupError."""
    if os.geteuid() == 0 and (shutil.which("debootstrap") or apt.install("debootstrap")):
        return
    raise SetupError(
        "base images are made out of packages by root, with debootstrap, which is not to be had here: either let the "
        f"engine reach an image registry, or on Debian\n  {apt.command('debootstrap')} && sudo infra/base_images.sh"
    )


def _has_compose() -> bool:
    try:
        compose()
    except EngineMissing:
        return False
    return True


def _start() -> subprocess.Popen[bytes]:
    log = Path(tempfile.gettempdir()) / "leadfleet-dockerd.log"
    say(f"starting a Docker engine; its log is {log}")
    with log.open("wb") as output:
        # a session of its own: Ctrl-C is for us, and the engine goes last
        daemon = subprocess.Popen(["dockerd"], stdout=output, stderr=output, start_new_session=True)
    try:
        _wait(daemon, log)
    except BaseException:
        _stop(daemon)
        raise
    return daemon


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _wait(daemon: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not answers():
        ended = daemon.poll() is not None
        if ended or time.monotonic() > deadline:
            words = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            state = "ended at once" if ended else f"did not answer within {START_TIMEOUT_S} s"
            raise EngineMissing(f"the Docker engine {state}:\n{words}")
        time.sleep(POLL_S)
