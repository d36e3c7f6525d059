"""One live Chrome: a process session, a profile of its own, a debug port on loopback.

`Chrome.launch` returns when the port answers; from then on `died` resolves the moment the process exits.
Whoever launched it calls `stop`, on every path: the whole session is killed and the directory deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from browser_node import launcher, processes
from fleet.cancellation import to_the_end
from fleet.errors import FleetError

LAUNCH_TIMEOUT = timedelta(seconds=30)
"""Measured: 0.2 s warm, 1.1 s cold; several at once on a busy machine with a cold disk take many times that."""

LAST_WORDS_WITHIN = timedelta(seconds=2)
"""The end of standard error comes with the death of the last process that holds it, within milliseconds."""

DELETE_ATTEMPTS = 5
"""A process that is just dying may still write to its profile while it is deleted."""

SMALL_SHM = 512 << 20
"""Containers give 64 MB of /dev/shm; a page of large pictures needs more, and Chrome crashes without."""

WINDOW = (1280, 720)

LONGEST_TMPDIR = 62
"""Chrome makes a Unix socket 45 characters below TMPDIR, and the kernel allows 107 for the whole path."""

DISABLED_FEATURES = (
    "Translate", "MediaRouter", "OptimizationHints", "AutofillServerCommunication",
    "WebRtcHideLocalIpsWithMdns",  # joins a multicast group for any page that makes a peer connection
)  # fmt: skip

_LISTENING = re.compile(rb"DevTools listening on ws://[^:]+:(\d+)/")

_SECRET_SETTINGS = re.compile(
    r"(AWS_|LEADFLEET_(JOIN|REDIS|SECRET|BOOTSTRAP)|.*_PROXY$|.*(PASSWORD|TOKEN|SECRET))", re.IGNORECASE
)

log = structlog.get_logger(__name__)


class ChromeFailed(FleetError):
    """Chrome did not start. The message carries its last words."""

    def __init__(self, binary: Path, why: str) -> None:
        super().__init__(f"Chrome ({binary}) did not start: {why}; `leadfleet doctor` says what is missing")


@dataclass(frozen=True, slots=True)
class ChromeSpec:
    """How to launch: ``proxy`` is the egress proxy's ``host:port``, ``mark`` the agent's state directory."""

    binary: Path
    proxy: str
    sandbox: bool
    mark: str


def flags(spec: ChromeSpec, profile: Path) -> list[str]:
    """The command line. Each network flag was measured: without one of them packets left around the proxy."""
    chosen = [
        "--headless",
        "--remote-debugging-port=0",
        "--remote-debugging-address=127.0.0.1",
        f"--user-data-dir={profile}",
        f"--window-size={WINDOW[0]},{WINDOW[1]}",
        f"--proxy-server=http://{spec.proxy}",
        "--proxy-bypass-list=<-loopback>",  # Chrome would otherwise reach loopback without the proxy
        "--webrtc-ip-handling-policy=disable_non_proxied_udp",
        "--disable-quic",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-domain-reliability",
        "--disable-sync",
        "--disable-default-apps",
        "--disable-extensions",
        "--disable-breakpad",
        "--disable-crash-reporter",
        "--no-first-run",
        "--no-default-browser-check",
        "--no-pings",
        "--mute-audio",
        "--password-store=basic",
        "--use-mock-keychain",
        "--force-color-profile=srgb",
        "--disable-features=" + ",".join(DISABLED_FEATURES),
        # tabs that are not in front load pages too
        "--disable-background-timer-throttling",
        "--disable-backgrounding-occluded-windows",
        "--disable-renderer-backgrounding",
        "--disable-ipc-flooding-protection",
        "--disable-hang-monitor",
        "--disable-popup-blocking",  # a blocked popup is a page that waits; the context closes what opens
    ]
    if not spec.sandbox:
        chosen.append("--no-sandbox")
    if _shared_memory() < SMALL_SHM:
        chosen.append("--disable-dev-shm-usage")
    return [*chosen, "about:blank"]


class Chrome:
    """A Chrome that runs. ``port`` is its debug port, ``pid`` the leader of its session."""

    def __init__(self, process: asyncio.subprocess.Process, directory: Path) -> None:
        self.pid = process.pid
        self.port = 0
        self.died = asyncio.create_task(process.wait(), name=f"chrome-{process.pid}-exit")
        self._directory = directory
        self._process = process
        self._words: deque[bytes] = deque(maxlen=20)
        self._listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._stderr = asyncio.create_task(self._listen(), name=f"chrome-{process.pid}-stderr")
        self._stopped = False

    @classmethod
    async def launch(cls, spec: ChromeSpec, directory: Path) -> Chrome:
        """Start a Chrome whose profile and temporary files live in ``directory``, which it owns from now on.

        Raises ChromeFailed. Nothing is left behind when it raises, or is cancelled.
        """
        await asyncio.to_thread(delete, directory)
        spawning = asyncio.ensure_future(_spawn(spec, directory))
        try:
            chrome = cls(await asyncio.shield(spawning), directory)
        except OSError as exc:
            await to_the_end(asyncio.to_thread(delete, directory))
            raise ChromeFailed(spec.binary, f"in {directory}: {exc}") from exc
        except asyncio.CancelledError:
            # A spawn that is cancelled half way leaves a process nobody owns: let it end, then end the process.
            await to_the_end(_abandoned(spawning, directory))
            raise
        try:
            chrome.port = await asyncio.wait_for(chrome._listening, LAUNCH_TIMEOUT.total_seconds())
        except BaseException as exc:
            await to_the_end(chrome.stop())
            if isinstance(exc, TimeoutError):
                raise ChromeFailed(spec.binary, f"no debug port after {LAUNCH_TIMEOUT}") from exc
            if isinstance(exc, EOFError):
                raise ChromeFailed(spec.binary, chrome.last_words()) from exc
            raise
        return chrome

    @property
    def alive(self) -> bool:
        return not self.died.done()

    async def answers(self, timeout: timedelta) -> bool:
        """Whether its debug port answers in time. A stopped or hung browser process does not."""
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                return await self._version()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False

    def waits(self) -> dict[int, float]:
        """How long the threads of its browser process have waited for a processor: see `processes.waits`."""
        return processes.waits(self.pid)

    async def step_back(self) -> None:
        """From now on, leave the processor to the machine's other work as far as it wants it."""
        await processes.step_back(self.pid)

    def memory(self) -> int:
        """Resident memory in bytes, over all its processes. Reads /proc: call it off the loop."""
        return processes.memory_of(self.pid)

    def kill(self) -> None:
        """SIGKILL to the whole session, at once; `stop` still has to follow."""
        processes.kill_session(self.pid)

    async def stop(self) -> None:
        """Kill the session, reap it, delete the directory. May be called again."""
        if self._stopped:
            return
        self._stopped = True
        self._listening.cancel()
        self.kill()
        await self.died
        if not await processes.ended(self.pid):
            log.error("chrome_processes_left", session=self.pid)
        # Read to its end, not cancelled: only then asyncio has closed the process's transport.
        await asyncio.wait({self._stderr}, timeout=LAST_WORDS_WITHIN.total_seconds())
        self._stderr.cancel()
        await asyncio.to_thread(delete, self._directory)

    def last_words(self) -> str:
        """The end of what it wrote to its standard error."""
        return b" ".join(self._words).decode("utf-8", "replace").strip()[-400:] or "it said nothing"

    async def _listen(self) -> None:
        """Read standard error to its end: the port is named in it, and a full pipe would stop Chrome."""
        while line := await self._line():
            found = _LISTENING.search(line)
            if found and not self._listening.done():
                self._listening.set_result(int(found[1]))
        if not self._listening.done():
            self._listening.set_exception(EOFError())

    async def _line(self) -> bytes:
        assert self._process.stderr is not None
        try:
            line = await self._process.stderr.readline()
        except ValueError:  # a line longer than the buffer; what was read of it is gone
            return b"\n"
        if line:
            self._words.append(line.strip()[:200])
        return line

    async def _version(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"GET /json/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            status = await reader.readuntil(b"\r\n")
            return b" 200 " in status
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _spawn(spec: ChromeSpec, directory: Path) -> asyncio.subprocess.Process:
    temporary = _make_temporary(directory)
    return await asyncio.create_subprocess_exec(
        *launcher.tied([str(spec.binary), *flags(spec, directory / "profile")], signal.SIGKILL),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=_environment(os.environ, directory, temporary, spec.mark),
        start_new_session=True,
    )


async def _abandoned(spawning: asyncio.Future[asyncio.subprocess.Process], directory: Path) -> None:
    """End a Chrome whose launch was cancelled while it was being spawned."""
    try:
        process = await spawning
    except OSError:
        await asyncio.to_thread(delete, directory)
    else:
        await Chrome(process, directory).stop()


def delete(directory: Path) -> None:
    """Remove a directory, retrying while dying processes still write into it."""
    for _ in range(DELETE_ATTEMPTS):
        if (directory / "tmp").is_symlink():
            shutil.rmtree((directory / "tmp").readlink(), ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
    log.error("directory_left", path=str(directory))


def _make_temporary(directory: Path) -> Path:
    """``tmp`` in the directory; where that path is too long, a link of this name to a short one."""
    temporary = directory / "tmp"
    if len(str(temporary)) <= LONGEST_TMPDIR:
        temporary.mkdir(parents=True)
        return temporary
    directory.mkdir(parents=True)
    short = Path(tempfile.mkdtemp(prefix="leadfleet-"))
    temporary.symlink_to(short)
    return short


def _environment(inherited: Mapping[str, str], directory: Path, temporary: Path, mark: str) -> dict[str, str]:
    """Ours without what may be secret: a page that breaks out of Chrome must find nothing in it."""
    kept = {name: value for name, value in inherited.items() if not _SECRET_SETTINGS.match(name)}
    return {**kept, "HOME": str(directory), "TMPDIR": str(temporary), processes.MARK: mark}


def _shared_memory() -> int:
    """Free bytes of /dev/shm, 0 where there is none."""
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108 - asked about, not written to
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize
