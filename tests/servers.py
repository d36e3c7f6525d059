"""Real servers for tests, each a process of its own on a free loopback port."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import redis

from browser_node.launcher import tied
from infra.stack import valkey
from tests.support import free_port, wait_until_sync

START_TIMEOUT_S = 120  # moto imports for 2 s on an idle machine, and the two cores may be busy
STOP_TIMEOUT_S = 10


@dataclass
class ServerProcess:
    """One child that listens on ``port``; its output goes to ``log``."""

    command: list[str]
    port: int
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict, kw_only=True)
    """In addition to ours."""
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _output: IO[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start (again, with the same port and data) and return when the port accepts connections."""
        self._output = self.log.open("ab")
        self._process = subprocess.Popen(
            tied(self.command, signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment},
        )
        wait_until_sync(self._answers, START_TIMEOUT_S, f"{self.command[0]} to serve")

    def kill(self) -> None:
        """SIGKILL, as a crash; `start` brings it back."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM and wait; harmless when it is not running."""
        self._end(signal.SIGTERM)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None
        if self._output is not None:
            self._output.close()
            self._output = None

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise AssertionError(f"{self.command} ended at start: {tail}")
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


class ValkeyServer(ServerProcess):
    """A durable Valkey whose default user may do everything; `start` after `kill` finds its data again."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        super().__init__(valkey.command(directory, port), port, directory / "valkey.log")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _answers(self) -> bool:
        """It accepts connections before it has read its data again, and refuses commands until then."""
        if not super()._answers():
            return False
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as asking:
            asking.sendall(b"PING\r\n")
            return asking.recv(64).startswith(b"+PONG")


class ClusterModeServer(ValkeyServer):
    """A Valkey in cluster mode that owns every slot: scripts are held to the rules of a cluster by one process."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.command += ["--cluster-enabled", "yes", "--cluster-port", str(free_port())]

    def start(self) -> None:
        super().start()
        with redis.Redis.from_url(self.url) as client:
            if client.execute_command("CLUSTER MYSHARDID") and not client.execute_command("CLUSTER SLOTS"):
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16_383)
            wait_until_sync(lambda: _serves_all(client), START_TIMEOUT_S, "all slots of the cluster to be served")


def _serves_all(client: redis.Redis) -> bool:
    return bool(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


class MotoServer(ServerProcess):
    """An S3 that keeps everything in memory; any credentials are accepted."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        command = [sys.executable, "-m", "tests.moto_server", "-H", "127.0.0.1", "-p", str(port)]
        super().__init__(command, port, directory / "moto.log")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"
