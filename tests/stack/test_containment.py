"""What a node's container may do, and whom it may reach: what a page finds that has broken out of its Chrome."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
from collections.abc import AsyncIterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from infra.bootstrap.console import SetupError
from infra.containers.project import Project, docker_output
from tests.faults.site import Sites
from tests.stack.conftest import MACHINE
from tests.stack.fleet import ContainerFleet
from tests.stack.hostile import HostilePages

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.stack]

OWN = {"leadfleet/node", "leadfleet/control-plane", "leadfleet/egress"}

METADATA = "169.254.169.254"

NO_WAY = {"ENETUNREACH", "EHOSTUNREACH", "TimeoutError", "EADDRNOTAVAIL"}
"""How a connection ends that leads nowhere."""

TRY_TO_CONNECT = """
import errno, json, socket, sys
def tried(address, port):
    try:
        socket.create_connection((address, port), timeout=6).close()
        return "open"
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
print(json.dumps([[address, port, tried(address, port)] for address, port in {targets!r}]))
"""

TRY_TO_RESOLVE = """
import json, socket
def resolved(name):
    try:
        return socket.getaddrinfo(name, 80)[0][4][0]
    except OSError as error:
        return None
print(json.dumps({{name: resolved(name) for name in {names!r}}}))
"""

TRY_TO_WRITE = """
import errno, json, os, pathlib
def tried(folder):
    try:
        pathlib.Path(folder, "written").write_text("")
        return "written"
    except OSError as error:
        return errno.errorcode[error.errno]
folders = [folder for folder, _, _ in os.walk("/") if not folder.startswith(("/proc", "/sys"))]
print(json.dumps({folder: tried(folder) for folder in folders}))
"""

ASK_THE_STORE = """
import json, os, pathlib, redis
password = pathlib.Path("/state/password").read_text().strip()
client = redis.Redis(host="valkey", username="node-" + os.uname().nodename, password=password)
def tried(command):
    try:
        client.execute_command(*command)
        return "done"
    except redis.exceptions.RedisError as error:
        return str(error)
client.ping()
print(json.dumps([tried(command) for command in {commands!r}]))
"""


OPEN_A_PAGE = """
import asyncio, json, os, pathlib
from playwright.async_api import async_playwright
from browser_node import status
async def main():
    port = status.ask(pathlib.Path(os.environ["LEADFLEET_STATE"]), 3)["ports"][{slot}]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{{port}}")
        page = await (await browser.new_context()).new_page()
        await page.goto("http://escape.hostile.test/")
        print(json.dumps(await page.evaluate("window.trying")))
        await page.context.close()
asyncio.run(main())
"""


def status_of(pid: int) -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def commands_of(container: str) -> dict[int, bytes]:
    """The command line of each process of a container, by its id on this machine; renderers write it in one piece."""
    pids = docker_output("top", container, "-o", "pid").split()[1:]
    return {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids}


def namespace(pid: int, kind: str) -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


async def test_nothing_runs_as_root_and_nobody_can_become_it(project: Project) -> None:
    for container in project.containers():
        main = container["State"]["Pid"]
        users = docker_output("top", container["Name"], "-o", "uid,pid").split("\n")[1:]
        assert {line.split()[0] for line in users if line.split()} & {"0", "root"} == set(), container["Name"]
        status = status_of(main)
        held = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert set(held.values()) == {0}, (container["Name"], held)
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2"), container["Name"]


async def test_the_file_systems_are_read_only(project: Project) -> None:
    for container in project.containers():
        assert container["HostConfig"]["ReadonlyRootfs"], container["Name"]
        if container["Config"]["Image"] in OWN:
            tried = json.loads(docker_output("exec", container["Name"], "python", "-c", TRY_TO_WRITE))
            outside = {folder: end for folder, end in tried.items() if not folder.startswith(("/state", "/dev"))}
            assert "/app" in outside
            assert set(outside.values()) <= {"EROFS", "EACCES"}, (container["Name"], outside)


async def test_no_shell_and_no_tool_is_there(project: Project) -> None:
    for container in project.containers():
        if container["Config"]["Image"] in OWN:
            for program in ("sh", "bash", "apt-get", "perl", "mount", "cat"):
                with pytest.raises(SetupError, match="not found"):
                    docker_output("exec", container["Name"], program, "--version")


async def test_limits_are_set_and_no_secret_is_in_an_environment(project: Project) -> None:
    secrets = [file.read_text() for file in project.secrets.iterdir() if file.name != "users.acl"]
    for container in project.containers():
        limits = container["HostConfig"]
        assert limits["Memory"] > 0, container["Name"]
        assert limits["PidsLimit"] > 0, container["Name"]
        shown = json.dumps(container["Config"])
        assert not [secret for secret in secrets if secret in shown], container["Name"]


async def test_chromes_sandbox_works_and_the_record_says_so(fleet: ContainerFleet) -> None:
    (name,) = fleet.names("node")
    assert (await fleet.node(fleet.node_id(name)))["sandbox"] == "namespace"
    agent = fleet.inspected(name)["State"]["Pid"]
    commands = commands_of(name)
    assert not [command for command in commands.values() if b"--no-sandbox" in command]
    renderers = [pid for pid, command in commands.items() if b"--type=renderer" in command]
    assert renderers
    for pid in renderers:
        for kind in ("user", "pid", "net"):
            assert namespace(pid, kind) != namespace(agent, kind), kind
        filters = [int(status_of(each)["Seccomp_filters"]) for each in (agent, pid)]
        assert filters[0] < filters[1], "Chromium's own is on top of ours"


async def test_a_node_that_has_to_have_a_sandbox_refuses_to_run_without(project: Project) -> None:
    """Under the engine's own list of calls, which has none of Chromium's sandbox."""
    command = [
        "docker", "run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/state:uid=10001,mode=0700",
        "--cap-drop", "ALL", "--env", "LEADFLEET_REQUIRE_SANDBOX=true", "leadfleet/node",
    ]  # fmt: skip
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "LEADFLEET_REQUIRE_SANDBOX is set" in done.stderr
    assert "user namespaces are denied" in done.stderr


async def test_a_nodes_user_is_refused_on_foreign_keys(fleet: ContainerFleet) -> None:
    (name,) = fleet.names("node")
    keys, own = fleet.keys, fleet.node_id(name)
    task = await fleet.submit("http://foreign-1.site.test/", key="foreign")
    foreign = [
        ["GET", keys.schema()],
        ["GET", keys.fence()],
        ["SET", keys.fence(), "1"],
        ["HGETALL", keys.task(task)],
        ["HSET", keys.node("another"), "state", "up"],
        ["XRANGE", keys.events(task), "-", "+"],
        ["XADD", keys.events(task), "*", "k", "result"],
        ["XADD", keys.out("another"), "*", "k", "heartbeat"],
        ["XADD", keys.commands(own), "*", "k", "run"],
        ["XREAD", "STREAMS", keys.commands("another"), "0"],
        ["XADD", keys.frames("another", "0"), "*", "j", "x"],
        ["ZRANGE", keys.nodes(), "0", "-1"],
        ["KEYS", "*"],
        ["SCAN", "0"],
        ["EVAL", "return 1", "0"],
        ["SCRIPT", "LOAD", "return 1"],
        ["ACL", "LIST"],
        ["ACL", "SETUSER", f"node-{own}", "~*", "+@all"],
        ["CONFIG", "GET", "*"],
        ["CLIENT", "LIST"],
        ["FLUSHALL"],
        ["SHUTDOWN"],
        ["PUBLISH", "any", "x"],
        ["MONITOR"],
    ]
    foreign = [[part.decode() if isinstance(part, bytes) else part for part in command] for command in foreign]
    answers = fleet.python(name, ASK_THE_STORE.format(commands=foreign))
    done = [command for command, answer in zip(foreign, answers, strict=True) if "permission" not in answer.lower()]
    assert done == [], list(zip(foreign, answers, strict=True))
    await fleet.ended(task)


def interesting(project: Project) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Everything of the stack that listens, outside and inside the nodes' network."""
    ports = {"valkey": 6379, "s3": 5000, "control-plane": 8000, "proxy": 8000, "town": 8080, "egress": 3128}
    outside, inside = [], []
    for container in project.containers():
        port = ports.get(container["Config"]["Labels"]["com.docker.compose.service"], 80)
        for network, attached in container["NetworkSettings"]["Networks"].items():
            (inside if network.endswith("_fleet") else outside).append((attached["IPAddress"], port))
    return outside, inside


def gateways(project: Project) -> list[str]:
    """This machine's addresses on the networks of the stack: the first one of each, unless the engine says another."""
    names = docker_output("network", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={project.name}")
    found = []
    for network in json.loads(docker_output("network", "inspect", *names.split())):
        found += [
            config.get("Gateway") or str(next(IPv4Network(config["Subnet"]).hosts()))
            for config in network["IPAM"]["Config"]
        ]
    return found


async def test_from_a_node_only_valkey_and_the_egress_proxy_are_reached(
    fleet: ContainerFleet, project: Project, site: Sites
) -> None:
    """By raw socket. Where another node is, nothing listens; everything else has no way to it."""
    await fleet.scale(2)
    try:
        first, second = fleet.names("node")
        outside, inside = interesting(project)
        machine = [(address, port) for address in gateways(project) for port in (22, 80, site.port, project.http_port)]
        elsewhere = [(METADATA, 80), ("192.0.2.53", 53), ("198.51.100.7", 443), ("203.0.113.8", 53), ("fd00::1", 80)]
        tried = fleet.python(first, TRY_TO_CONNECT.format(targets=outside + machine + elsewhere), timeout=300)
        assert {outcome for _, _, outcome in tried} <= NO_WAY, tried

        open_inside = {
            (a, p) for a, p, outcome in fleet.python(first, TRY_TO_CONNECT.format(targets=inside)) if outcome == "open"
        }
        (valkey,), (egress,) = fleet.names("valkey"), fleet.names("egress")
        assert open_inside == {(fleet.address(valkey, "fleet"), 6379), (fleet.address(egress, "fleet"), 3128)}

        other = fleet.address(second, "fleet")
        ports = [(other, port) for port in (22, 80, 443, 3128, 6379, 8000, 8080, 9222, *range(30000, 61000, 311))]
        assert {outcome for _, _, outcome in fleet.python(first, TRY_TO_CONNECT.format(targets=ports))} == {
            "ECONNREFUSED"
        }
        listening = _listening_elsewhere_than_on_loopback(fleet.inspected(second)["State"]["Pid"])
        assert listening == [], "a node takes no connection from anybody"
    finally:
        await fleet.scale(1)


async def test_what_a_replica_fetches_leaves_through_the_egress_proxy_alone(
    fleet: ContainerFleet,
) -> None:
    (egress,), (town,), (name, *_) = fleet.names("egress"), fleet.names("town"), fleet.names("control-plane")
    outside = [(METADATA, 80), ("198.51.100.7", 443), ("fd00::1", 80), (fleet.address(town, "outside"), 8080)]
    tried = fleet.python(name, TRY_TO_CONNECT.format(targets=outside))
    assert {outcome for _, _, outcome in tried} <= NO_WAY, tried
    way_out = [(fleet.address(egress, "outward"), 3128)]
    assert [outcome for *_, outcome in fleet.python(name, TRY_TO_CONNECT.format(targets=way_out))] == ["open"]


def _listening_elsewhere_than_on_loopback(pid: int) -> list[str]:
    """Local addresses of the listening TCP sockets in the network namespace of a process."""
    found = []
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state = line.split()[:4]
        address = socket.inet_ntoa(bytes.fromhex(local.partition(":")[0])[::-1])
        if state == "0A" and not address.startswith("127."):
            found.append(local)
    return found


async def test_names_of_the_world_and_of_the_other_networks_mean_nothing_to_a_node(fleet: ContainerFleet) -> None:
    (name,) = fleet.names("node")
    names = [
        "valkey",
        "egress",
        "control-plane",
        "s3",
        "proxy",
        "town",
        "example.com",
        "host.docker.internal",
    ]
    resolved = fleet.python(name, TRY_TO_RESOLVE.format(names=names), timeout=180)
    known = {name for name, address in resolved.items() if address and not address.startswith(("127.", "::1"))}
    assert known == {"valkey", "egress"}, resolved


async def test_a_page_gets_nowhere_either(
    fleet: ContainerFleet, project: Project, site: Sites, hostile: HostilePages
) -> None:
    """By fetch, WebSocket, WebRTC and names; listeners on this machine's addresses hear nothing.

    The page is opened in the Chrome of a unit that works, so that the egress proxy lets it out as that unit.
    """
    (name,) = fleet.names("node")
    outside, inside = interesting(project)
    site.hold()
    task = await fleet.submit("http://beside-escape-1.site.test/", key="escape")
    _, slot, _ = await fleet.at_work()
    async with listening(gateways(project)) as (heard, ports):
        hostile.targets = [(METADATA, 80), *ports, *outside, *inside]
        hostile.names = ["control-plane", "s3", "valkey:6379", "town:8080", "secret.example.com"]
        tried = await asyncio.to_thread(fleet.python, name, OPEN_A_PAGE.format(slot=slot), 240)
        site.let_go()
        await fleet.ended(task)
    assert {kind for kind, *_ in tried} == {"fetch", "websocket", "webrtc", "name"}
    assert len(tried) == 3 * len(hostile.targets) + len(hostile.names)
    assert [trial for trial in tried if trial[0] == "websocket" and trial[3] == "open"] == []
    assert [trial for trial in tried if trial[0] == "webrtc" and trial[3]] == [], "no candidate, so no packet"
    # no-cors hides whether an answer was a site's or the proxy's refusal; who was asked knows
    assert heard == []


@contextlib.asynccontextmanager
async def listening(addresses: list[str]) -> AsyncIterator[tuple[list[Any], list[tuple[str, int]]]]:
    """TCP and UDP listeners on each of this machine's ``addresses``: whom they hear, and where they are."""
    heard: list[Any] = []

    class Datagrams(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            heard.append(("udp", addr, data[:40]))

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(("tcp", writer.get_extra_info("peername"), await reader.read(40)))
        writer.close()

    loop, places = asyncio.get_running_loop(), []
    async with contextlib.AsyncExitStack() as stack:
        for address in addresses:
            if not _is_ours(address):  # the nodes' network: this machine has no address there
                continue
            server = await asyncio.start_server(connected, address, 0)
            await stack.enter_async_context(server)
            port = server.sockets[0].getsockname()[1]
            transport, _ = await loop.create_datagram_endpoint(Datagrams, (address, port))
            stack.callback(transport.close)
            places.append((address, port))
        assert MACHINE in dict(places)
        yield heard, places


def _is_ours(address: str) -> bool:
    with socket.socket() as asked:
        try:
            asked.bind((address, 0))
        except OSError:
            return False
        return True
