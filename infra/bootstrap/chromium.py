"""See to it that a Chrome runs: the one that is here, else Playwright's download, else the distribution's.

Run as ``python -m infra.bootstrap.chromium`` by the environment's Python; 0.1 s where there is a Chrome.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

from browser_node.chrome_binary import SETTING, ChromeBinary, ChromeUnusable, chrome_version, find_chrome
from infra.bootstrap import apt
from infra.bootstrap.console import SetupError, exit_status, progress, progress_done, say

CONNECT_TIMEOUT_MS = 10_000  # the download host answers at once or not at all
DOWNLOAD_TIMEOUT_S = 600  # 300 MB at 0.5 MB/s
DEBIAN_PACKAGES = ("chromium", "chromium-sandbox")


def main() -> int:
    """Exit status 0 when a Chrome runs, 1 with what to type on stderr when none could be had."""
    return exit_status(_find, ChromeUnusable)


def _find() -> None:
    chrome, version = ensure()
    say(f"using {version} at {chrome.path}")


def ensure() -> tuple[ChromeBinary, str]:
    """The Chrome to use and its version, installed first when there is none.

    Raises `ChromeUnusable` for a ``LEADFLEET_CHROME`` that does not run, `SetupError` when none could be had.
    """
    chrome = find_chrome()
    if chrome is None:
        say("no Chrome, Chromium or Edge is installed; asking Playwright for one")
        if not _download() and not _install_package():
            raise SetupError(how_to_get())
        chrome = find_chrome()
        if chrome is None:
            raise SetupError(how_to_get())
    try:
        return chrome, chrome_version(chrome)
    except ChromeUnusable:
        # a downloaded browser on a bare system lacks shared libraries that only packages bring
        if chrome.found_by == SETTING or not _install_libraries(chrome):
            raise
        return chrome, chrome_version(chrome)


def how_to_get() -> str:
    """What a person types on this machine to get a Chrome."""
    playwright = f"{sys.executable} -m playwright install --with-deps chromium"
    if apt.distribution() == "debian":
        package = apt.command(*DEBIAN_PACKAGES)
    else:
        # Ubuntu's chromium package is a snap, which is confined and cannot be driven
        package = "install Google Chrome's own package (its .deb or .rpm, not a snap)"
    return (
        f"no Chrome could be installed. Any of these provides one:\n  {package}\n  {playwright}\n"
        f"  {SETTING}=/path/to/chrome make demo"
    )


def _download() -> bool:
    """Playwright's own build of Chromium into its cache; False when its host cannot be reached from here."""
    environment = os.environ | {"PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": str(CONNECT_TIMEOUT_MS)}
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    reason = "it was cut off by its deadline"
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        deadline = threading.Timer(DOWNLOAD_TIMEOUT_S, _kill_group, [process.pid])
        deadline.start()
        try:
            for line in process.stdout:
                if line.startswith("Error: "):
                    reason = line[len("Error: ") :].strip()
                elif "%" in line:
                    progress(line.strip())
        except BaseException:
            _kill_group(process.pid)
            raise
        finally:
            deadline.cancel()
            progress_done()
    succeeded = process.returncode == 0
    if not succeeded:
        say(f"Playwright could not download one ({reason})")
    return succeeded


def _kill_group(pid: int) -> None:
    """End Playwright's installer with the helper that downloads; it was started in a group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _install_package() -> bool:
    return apt.distribution() == "debian" and apt.install(*DEBIAN_PACKAGES)


def _install_libraries(chrome: ChromeBinary) -> bool:
    """The libraries a downloaded Chrome lacks: Debian's own package depends on the very same ones."""
    if chrome.found_by != "playwright":
        return False
    if apt.distribution() == "debian":
        return apt.install(*DEBIAN_PACKAGES)
    say("installing the libraries Chromium needs")
    command = [sys.executable, "-m", "playwright", "install-deps", "chromium"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, timeout=apt.INSTALL_TIMEOUT_S).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
