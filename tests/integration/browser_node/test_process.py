"""The agent as a process of its own: signals, kill -9, and what the next run finds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from browser_node import processes
from fleet.messages import Goodbye, Superseded
from tests.fakes.fake_control import FakeControl
from tests.integration.browser_node.conftest import NODE, Site
from tests.servers import ValkeyServer
from tests.support import REPOSITORY, wait_until


class Agent:
    """``python -m browser_node`` with one slot."""

    def __init__(self, url: str, state: Path, allow: str) -> None:
        self.state = state
        self._env = os.environ | {
            "LEADFLEET_JOIN_URL": url.replace("redis://", "redis://join:x@"),
            "LEADFLEET_NODE_ID": NODE,
            "LEADFLEET_SLOTS": "1",
            "LEADFLEET_STATE": str(state),
            "LEADFLEET_EGRESS_ALLOW": allow,
            "LEADFLEET_DRAIN_S": "2",
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> asyncio.subprocess.Process:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "browser_node", cwd=REPOSITORY, env=self._env, stderr=asyncio.subprocess.DEVNULL
        )
        return self.process

    def chromes(self) -> list[psutil.Process]:
        """Every live process that carries the mark of this state directory."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(processes.MARK) == str(self.state) and process.status() != "zombie":
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture
async def agent(valkey_server: ValkeyServer, site: Site, control: FakeControl, tmp_path: Path) -> AsyncIterator[Agent]:
    agent = Agent(valkey_server.url, tmp_path / "state", site.allowance)
    yield agent
    if agent.process is not None and agent.process.returncode is None:
        agent.process.terminate()
        await agent.process.wait()
    processes.kill_leftovers(agent.state)
    await wait_until(lambda: not agent.chromes(), 10, "the agent's Chromes to be gone")


async def test_sigterm_drains_says_goodbye_and_leaves_nothing(agent: Agent, control: FakeControl) -> None:
    process = await agent.start()
    await control.registered()
    assert agent.chromes()
    assert (agent.state / "password").stat().st_mode & 0o777 == 0o600
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    await control.hear(Goodbye)
    assert agent.chromes() == []
    assert list((agent.state / "slots").glob("*")) == []
    assert list((agent.state / "tmp").glob("*")) == []


async def test_kill_9_takes_the_chromes_along_and_the_next_run_cleans_up(agent: Agent, control: FakeControl) -> None:
    process = await agent.start()
    first = await control.registered()
    leaders = [p for p in agent.chromes() if p.ppid() == process.pid]
    members = processes.members(leaders[0].pid)
    assert len(members) > 2
    # a stopped process is not told of its parent's death before it goes on: the next run has to find it
    members[-1].suspend()
    process.kill()
    await process.wait()
    await wait_until(lambda: _gone(leaders[0]), 10, "Chrome to die with its agent")
    assert (agent.state / "slots" / "0").exists()
    left = agent.state / "tmp" / "left"  # as the driver leaves files, unless it sees our end in time to remove them
    left.touch()
    await agent.start()
    await control.registered(boot_is_not=first.boot)
    assert _gone(members[-1])
    assert not left.exists()


async def test_no_other_process_is_touched(agent: Agent, control: FakeControl) -> None:
    """A process of another state directory, and one whose mark only begins like ours, stay alive."""
    marks = (f"{agent.state}-2", str(agent.state.parent), tempfile.gettempdir())
    strangers = [await asyncio.create_subprocess_exec("sleep", "60", env=_marked(mark)) for mark in marks]
    own = await asyncio.create_subprocess_exec("sleep", "60", env=_marked(str(agent.state)))
    await agent.start()
    await control.registered()
    assert await asyncio.wait_for(own.wait(), 5) == -signal.SIGKILL
    for stranger in strangers:
        assert stranger.returncode is None
        stranger.kill()
        await stranger.wait()


async def test_a_second_agent_on_the_same_state_is_turned_away(
    agent: Agent, control: FakeControl, valkey_server: ValkeyServer
) -> None:
    await agent.start()
    await control.registered()
    chromes = agent.chromes()
    second = await Agent(valkey_server.url, agent.state, "").start()
    assert await asyncio.wait_for(second.wait(), 60) == 1
    assert all(chrome.is_running() for chrome in chromes)


async def test_a_superseded_agent_ends_with_a_code_of_its_own(agent: Agent, control: FakeControl) -> None:
    process = await agent.start()
    register = await control.registered()
    await control.tell(NODE, Superseded(register.boot, "anotherboot"))
    assert await asyncio.wait_for(process.wait(), 60) == 3


async def test_wrong_settings_are_named_and_not_shown(tmp_path: Path) -> None:
    env = os.environ | {
        "LEADFLEET_SLOTS": "many-secret",
        "LEADFLEET_NODE_ID": "Not A Name",
        "LEADFLEET_STATE": str(tmp_path),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "browser_node", cwd=REPOSITORY, env=env, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"LEADFLEET_SLOTS" in said
    assert b"LEADFLEET_NODE_ID" in said
    assert b"many-secret" not in said
    assert b"Traceback" not in said


def _gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _marked(mark: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], processes.MARK: mark}
