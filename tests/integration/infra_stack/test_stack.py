"""The embedded stack with a real Valkey, stand-ins for the two machines, and moto where S3 is asked for."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import aiohttp
import psutil
import pytest
import redis.exceptions

from fleet.connect import command_client
from fleet.keys import Keys
from infra.stack.errors import ChildFailed, PortTaken, StateInUse
from infra.stack.options import STACK_MARK, Options, Programs
from infra.stack.stack import Stack
from tests.support import REPOSITORY, wait_until, wait_until_sync

STAND_IN = Path(__file__).with_name("stand_in.py")


def stand_in(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, str(STAND_IN), *arguments)


def options(state: Path, *, replicas: int = 1, nodes: int = 1, node_role: str = "node", moto: bool = False) -> Options:
    s3 = Programs().s3 if moto else stand_in("s3", "{port}")
    return Options(
        state=state,
        replicas=replicas,
        nodes=nodes,
        settings={"NODES_UP": str(nodes if node_role == "node" else 0)},
        programs=Programs(control_plane=stand_in("api"), node=stand_in(node_role), s3=s3),
    )


def processes_of(state: Path) -> list[psutil.Process]:
    """Every process whose environment names this state directory: children, and what they started."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if STACK_MARK in environment and str(state) in environment.get("LEADFLEET_STATE", ""):
            found.append(process)
    return found


async def test_all_parts_run_and_none_is_left(tmp_path: Path) -> None:
    async with Stack(options(tmp_path, replicas=2, nodes=2)) as stack:
        assert list(stack.children) == [
            "valkey", "s3", "control-plane-1", "control-plane-2", "node-1", "node-2",
        ]  # fmt: skip
        assert len(set(stack.urls)) == 2
        pids = [child.pid for child in stack.children.values()]
        await wait_until(lambda: len(processes_of(tmp_path)) == 6, description="2 replicas, 2 nodes, 2 browsers")
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)
    assert processes_of(tmp_path) == [], "even what a node started and what ignores SIGTERM has ended"


async def s3_status(stack: Stack) -> int:
    async with aiohttp.ClientSession() as session, session.get(stack.s3_endpoint) as answer:
        return answer.status


async def test_s3_is_there_and_again_after_it_died(tmp_path: Path) -> None:
    """Without its bucket, which the next export makes: see the tests of the store."""
    async with Stack(options(tmp_path, nodes=0, moto=True)) as stack:
        assert await s3_status(stack) == 200
        s3 = stack.children["s3"]
        stack.kill("s3")
        await wait_until(lambda: s3.restarts == 1 and s3.ready, 30, "moto to be back")
        assert await s3_status(stack) == 200


async def test_only_join_and_control_get_in_and_join_may_only_knock(tmp_path: Path) -> None:
    keys = Keys("local")
    async with Stack(options(tmp_path)) as stack:
        environment = node_environment(tmp_path)
        join = command_client(environment["LEADFLEET_JOIN_URL"], name="test")
        nobody = command_client(f"redis://127.0.0.1:{stack.ports.valkey}", name="test")
        control = command_client(stack.redis_url, name="test")
        await join.xadd(keys.join(), {"k": "join"})
        assert await control.xlen(keys.join()) == 1
        refused = [
            lambda: join.xread({keys.join(): "0"}),
            lambda: join.xadd(keys.commands("node-1"), {"k": "run"}),
            lambda: join.delete(keys.join()),
            lambda: join.config_get("*"),
        ]
        for attempt in refused:
            with pytest.raises(redis.exceptions.NoPermissionError):
                await attempt()
        with pytest.raises(redis.exceptions.AuthenticationError):
            await nobody.ping()
        for client in (join, nobody, control):
            await client.aclose()


async def test_a_node_is_given_no_secret_but_the_one_to_knock_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a real one")
    monkeypatch.setenv("LEADFLEET_SECRET", "signing secret of another deployment")
    async with Stack(options(tmp_path)) as stack:
        environment = node_environment(tmp_path)
        given = "\n".join(f"{name}={value}" for name, value in environment.items())
        assert not [name for name in environment if name.startswith("AWS_")]
        known = stack.state.secrets()
        for secret in (known.api_key, known.control_password, known.signing_secret, "another deployment"):
            assert secret not in given
        assert environment["LEADFLEET_NODE_ID"] == "node-1"
        assert environment["LEADFLEET_SLOTS"] == "2"


async def test_secrets_stay_the_same_and_private(tmp_path: Path) -> None:
    async with Stack(options(tmp_path, nodes=0)) as stack:
        first = stack.state.secrets()
        assert stack.state.api_key_file.read_text().strip() == stack.api_key
        private = (tmp_path / "secrets.json", stack.state.api_key_file, stack.state.acl_file)
        assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}
        description = stack.state.description.read_text()
        assert first.control_password not in description
        assert first.api_key not in description
    async with Stack(options(tmp_path, nodes=0)) as stack:
        assert stack.state.secrets() == first


async def test_what_was_stored_survives_a_restart_of_the_stack(tmp_path: Path) -> None:
    for step in ("write", "read"):
        async with Stack(options(tmp_path, nodes=0)) as stack:
            client = command_client(stack.redis_url, name="test")
            if step == "write":
                await client.set("kept", "yes")
            else:
                assert await client.get("kept") == b"yes"
            await client.aclose()


@pytest.mark.parametrize("name", ["valkey", "control-plane-1", "node-1"])
async def test_a_part_that_is_killed_comes_back_ready(tmp_path: Path, name: str) -> None:
    async with Stack(options(tmp_path)) as stack:
        child = stack.children[name]
        before = child.pid
        stack.kill(name)
        await wait_until(lambda: child.pid not in (None, before), description=f"{name} to come back")
        await wait_until(lambda: child.ready, description=f"{name} to be ready")
        assert child.restarts == 1


async def test_a_part_that_crashes_on_purpose_is_back_at_once_and_supervised(tmp_path: Path) -> None:
    async with Stack(options(tmp_path)) as stack:
        child = stack.children["node-1"]
        before = child.pid
        await child.crash()
        again = child.pid
        assert (child.ready, child.restarts) == (True, 0)
        assert again not in {None, before}
        stack.kill("node-1")
        await wait_until(lambda: child.restarts == 1 and child.ready, 20, "node-1 to be started by its supervisor")


async def test_a_part_that_dies_at_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"node-1 ended with status 1(.|\n)*configuration makes no sense"):
        async with Stack(options(tmp_path, node_role="crash")):
            pass
    assert processes_of(tmp_path) == []


async def test_one_state_directory_serves_one_stack(tmp_path: Path) -> None:
    async with Stack(options(tmp_path, nodes=0)) as first:
        with pytest.raises(StateInUse, match=str(os.getpid())):
            await Stack(options(tmp_path, nodes=0)).start()
        assert all(child.running for child in first.children.values())
        assert first.state.description.exists(), "the second one took nothing of the first"


async def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=str(port)):
            async with Stack(Options(state=tmp_path, http_port=port)):
                pass
    assert processes_of(tmp_path) == []


SUPERVISOR = """
import sys
from pathlib import Path
from infra.stack.up import run
from tests.integration.infra_stack.test_stack import options

async def announce(stack):
    print("ready", flush=True)

sys.exit(run(options(Path(sys.argv[1])), announce))
"""


@pytest.mark.parametrize(
    ("signals", "status"),
    [
        pytest.param([signal.SIGINT], 0, id="Ctrl-C"),
        pytest.param([signal.SIGTERM], 0, id="SIGTERM"),
        pytest.param([signal.SIGINT, signal.SIGINT, signal.SIGINT], 0, id="impatient Ctrl-C"),
        pytest.param([signal.SIGKILL], -signal.SIGKILL, id="kill -9"),
    ],
)
def test_however_up_ends_its_processes_end_with_it(tmp_path: Path, signals: list[signal.Signals], status: int) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    with supervisor, supervisor.stdout:
        while "ready" not in (line := supervisor.stdout.readline()):
            assert line, "it ended before it was ready"
        children = json.loads((tmp_path / "stack.json").read_text())["processes"]
        for number in signals:
            supervisor.send_signal(number)
        assert supervisor.wait(20) == status
    wait_until_sync(lambda: not any(psutil.pid_exists(pid) for pid in children.values()), 10, "all children to end")
    for stubborn in processes_of(tmp_path):
        assert signals == [signal.SIGKILL], "nobody was left to sweep up, so the node's browser may remain"
        stubborn.kill()


def node_environment(state: Path) -> dict[str, str]:
    file = state / "node-node-1" / "environment.json"
    wait_until_sync(file.exists, 10, "the stand-in node to write down its environment")
    environment: dict[str, str] = wait_until_sync(lambda: parsed(file), 10, "the file to be whole")
    return environment


def parsed(file: Path) -> dict[str, str] | None:
    try:
        return dict(json.loads(file.read_text()))
    except ValueError:
        return None
