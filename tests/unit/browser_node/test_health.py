"""The container's health: an agent that answers, and one of the Chromes that it names."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser_node import health, status
from tests.support import free_port


class _DebugPort(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/json/version" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def debug_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _DebugPort) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A directory too deep for a socket's path."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    return deep


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_chrome_that_answers_is_enough(state: Path, debug_port: int) -> None:
    async with status.telling(state, lambda: {"ports": [free_port(), debug_port]}):
        assert await asyncio.to_thread(health.unfit, state) == ""


@pytest.mark.parametrize("ports", [[], [1]])
async def test_chromes_that_do_not_answer_are_not_fit(state: Path, ports: list[int]) -> None:
    async with status.telling(state, lambda: {"ports": ports}):
        assert "none of the agent's Chromes answers" in await asyncio.to_thread(health.unfit, state)


async def test_an_agent_whose_loop_hangs_is_not_fit(
    state: Path, debug_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "TIMEOUT_S", 0.2)
    async with status.telling(state, lambda: {"ports": [debug_port]}):
        assert "the agent does not answer" in health.unfit(state)  # asked from its own loop, which is busy with asking


async def test_an_agent_that_was_killed_leaves_a_socket_that_the_next_one_replaces(state: Path) -> None:
    (state / status.SOCKET).write_text("left")
    async with status.telling(state, lambda: {"ports": []}):
        assert (await asyncio.to_thread(status.ask, state, 2))["ports"] == []
    assert left_in(state) == []


async def test_the_exit_status_is_what_the_engine_reads(
    state: Path, debug_port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEADFLEET_STATE", str(state))
    assert health.main() == 1
    assert "the agent does not answer" in capsys.readouterr().err
    async with status.telling(state, lambda: {"ports": [debug_port]}):
        assert await asyncio.to_thread(health.main) == 0


def test_settings_that_cannot_be_used_are_not_healthy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LEADFLEET_SLOTS", "none")
    assert health.main() == 1
    assert "LEADFLEET_SLOTS" in capsys.readouterr().err
