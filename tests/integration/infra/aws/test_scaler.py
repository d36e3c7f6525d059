"""The scaler at work: a replica on a real Valkey with nodes that the test speaks for, and the ECS of a moto server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import boto3
import pytest
from redis.asyncio import Redis

from fleet.keys import Keys, join_acl
from fleet.messages import Drain, Run
from infra.aws.functions.scaler import decision, handler
from infra.aws.functions.scaler.control_plane import ControlPlane
from infra.aws.functions.scaler.services import Services
from tests.fakes.spoken_node import SpokenNode
from tests.integration.control_plane.api.conftest import KEY, START_TIMEOUT_S, Client, lists_tasks, responds
from tests.integration.control_plane.conftest import Start
from tests.servers import MotoServer, ValkeyServer
from tests.support import free_port, wait_until

SCALER_KEY = "lfk_" + "s" * 43
KEYS = Keys("scaled")
NODES = ["n1", "n2", "n3"]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


@pytest.fixture
def ecs(moto_server: MotoServer, _credentials: None) -> Iterator[Any]:
    """A cluster with a service a node, as `infra/aws/nodes.yaml` leaves them: of one task."""
    client = boto3.client("ecs", endpoint_url=moto_server.endpoint, region_name="eu-central-1")
    client.create_cluster(clusterName="leadfleet-scaled")
    client.register_task_definition(family="node", containerDefinitions=[{"name": "node", "image": "x", "memory": 1}])
    for node in NODES:
        client.create_service(
            cluster="leadfleet-scaled", serviceName=f"node-{node}", taskDefinition="node", desiredCount=1
        )
    yield client
    for node in NODES:
        client.update_service(cluster="leadfleet-scaled", service=f"node-{node}", desiredCount=0)
        client.delete_service(cluster="leadfleet-scaled", service=f"node-{node}")
    client.close()


@pytest.fixture
async def api(start: Start, valkey: Redis, valkey_server: ValkeyServer, tmp_path: Path) -> AsyncIterator[Client]:
    """A client with all scopes, of a replica that has stored the scaler's key."""
    port = free_port()
    await valkey.execute_command("ACL", "SETUSER", "join", "reset", "on", ">join", *join_acl(KEYS))
    await start(
        redis_url=valkey_server.url, bind=f"127.0.0.1:{port}", bootstrap_key=KEY, scaler_key=SCALER_KEY,
        fleet=KEYS.fleet, state=str(tmp_path), tenant_max_running="8",
        egress_allow="*.town.test=127.0.0.1:8123",
    )  # fmt: skip
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port}"
        await wait_until(lambda: responds(session, url), timeout=START_TIMEOUT_S)
        client = Client(session, url, KEY)
        await wait_until(lambda: lists_tasks(client), description="the keys to be stored")
        yield client
    users = [user for user in await valkey.execute_command("ACL", "USERS") if user != b"default"]
    await valkey.execute_command("ACL", "DELUSER", *users)


class Scaled:
    """The scaler with its two sides."""

    def __init__(self, api: Client, ecs: Any) -> None:
        self.endpoint = ecs.meta.endpoint_url
        self.control_plane = ControlPlane(api.url, SCALER_KEY)
        self.services = Services(ecs, "leadfleet-scaled", NODES)

    async def look(self, least: int = 0, left: float = 30, slots: int = 1) -> dict[str, Any]:
        deadline = asyncio.get_running_loop().time() + left

        def remaining() -> float:
            return deadline - loop.time()

        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(
            handler.look, self.control_plane, self.services, fleet="scaled", least=least, slots=slots, left=remaining
        )

    async def desired(self) -> dict[str, int]:
        return {node: service.desired for node, service in (await asyncio.to_thread(self.services.all)).items()}


@pytest.fixture
def scaled(api: Client, ecs: Any) -> Scaled:
    return Scaled(api, ecs)


@pytest.fixture
async def nodes(api: Client, valkey_server: ValkeyServer, tmp_path: Path) -> AsyncIterator[dict[str, SpokenNode]]:
    """All three, registered with a slot each."""
    join_url = valkey_server.url.replace("redis://", "redis://join:join@")
    async with AsyncExitStack() as there:
        yield {
            name: await there.enter_async_context(SpokenNode(join_url, KEYS, name, tmp_path / name)) for name in NODES
        }


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes need not be ten minutes old."""
    monkeypatch.setattr(decision, "SETTLED", timedelta(0))


async def test_its_key_opens_nothing_but_the_fleet(api: Client) -> None:
    scaler = Client(api.session, api.url, SCALER_KEY)
    assert (await scaler.get("/api/fleet/nodes"))[0] == 200
    for path in ("/api/tasks", "/api/export", "/api/opt-outs"):
        assert (await scaler.get(path))[0] == 403
    assert (await scaler.post("/api/auth/keys", {"name": "x"}))[0] == 403


async def test_services_start_while_units_wait(scaled: Scaled, api: Client, capsys: pytest.CaptureFixture[str]) -> None:
    for node in NODES:
        scaled.services.stop(node)
    await api.start("http://a.town.test/", "http://b.town.test/", max_parallel=2)
    assert (await scaled.look())["started"] == ["n1", "n2"]
    assert await scaled.desired() == {"n1": 1, "n2": 1, "n3": 0}
    line = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (line["BacklogPerSlot"], line["UnitsDispatchable"], line["Nodes"], line["Fleet"]) == (2, 2, 0, "scaled")
    declared = {metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert declared == set(line) - {"_aws", "Fleet"}
    assert (await scaled.look())["started"] == [], "they are on their way"


async def test_what_may_not_run_starts_no_node(scaled: Scaled, api: Client) -> None:
    """Nine units of a task that runs two at once are two units of work."""
    for node in NODES:
        scaled.services.stop(node)
    await api.start(*(f"http://{n}.town.test/" for n in range(9)), max_parallel=2)
    assert scaled.control_plane.gauges()["units_dispatchable"] == 2
    await scaled.look()
    assert sum((await scaled.desired()).values()) == 2


async def test_what_a_tenant_may_not_run_yet_starts_no_node(scaled: Scaled, api: Client) -> None:
    """Sixteen units stand in line, and the tenant may run eight at once."""
    for task in "ab":
        await api.start(*(f"http://{task}{n}.town.test/" for n in range(8)), max_parallel=8)
    gauges = scaled.control_plane.gauges()
    assert (gauges["units"]["queued"], gauges["units_dispatchable"]) == (16, 8)


async def test_an_idle_node_is_drained_and_then_stopped(
    scaled: Scaled, nodes: dict[str, SpokenNode], settled: None
) -> None:
    done = await scaled.look(least=2)
    name = done["draining"]
    assert done["stopped"] == [name]
    await nodes[name].told(Drain)
    assert await scaled.desired() == {node: int(node != name) for node in NODES}
    assert (await scaled.look(least=2))["draining"] is None


async def test_a_node_at_work_is_stopped_when_it_has_let_go_of_its_unit_and_not_before(
    scaled: Scaled, api: Client, nodes: dict[str, SpokenNode], settled: None
) -> None:
    """All three are at work, and nodes of two slots would need one less: somebody has to go."""
    await api.start(*(f"http://{name}.town.test/" for name in NODES), max_parallel=3)
    runs = {name: await nodes[name].told(Run) for name in NODES}
    looks: list[str] = []
    all_nodes = scaled.control_plane.nodes

    def looked_at() -> list[decision.Node]:
        found = all_nodes()
        looks.extend(node.name for node in found if node.state == "draining")
        return found

    scaled.control_plane.nodes = looked_at  # type: ignore[method-assign]
    look = asyncio.create_task(scaled.look(slots=2))
    await wait_until(lambda: len(looks) == 2, 30, "the scaler to look at the draining node twice")
    name = looks[0]
    assert not look.done()
    assert (await scaled.desired())[name] == 1
    await nodes[name].end(runs[name])
    assert (await look)["stopped"] == [name]
    assert (await scaled.desired())[name] == 0


async def test_a_node_that_takes_too_long_is_left_to_the_next_look(
    scaled: Scaled, api: Client, nodes: dict[str, SpokenNode], settled: None
) -> None:
    await api.start(*(f"http://{name}.town.test/" for name in NODES), max_parallel=3)
    runs = {name: await nodes[name].told(Run) for name in NODES}
    done = await scaled.look(slots=2, left=0)
    name = done["draining"]
    assert (done["stopped"], (await scaled.desired())[name]) == ([], 1)
    assert (await scaled.look(slots=2, left=0))["stopped"] == [], "it holds its unit still"
    await nodes[name].end(runs[name])

    async def stopped() -> bool:
        return name in (await scaled.look(slots=2))["stopped"]

    await wait_until(stopped, 20, "the node to be stopped")
    assert (await scaled.desired())[name] == 0


async def test_the_next_look_waits_on_and_starts_what_is_needed_before_that(
    scaled: Scaled, api: Client, nodes: dict[str, SpokenNode], settled: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A node that is slow to drain holds up no number and no start."""
    await api.start(*(f"http://{name}.town.test/" for name in NODES), max_parallel=3)
    runs = {name: await nodes[name].told(Run) for name in NODES}
    name = (await scaled.look(slots=2, left=0))["draining"]
    other = next(node for node in NODES if node != name)
    await asyncio.to_thread(scaled.services.stop, other)
    capsys.readouterr()
    look = asyncio.create_task(scaled.look(slots=1))

    async def started() -> bool:
        return (await scaled.desired())[other] == 1

    await wait_until(started, 20, "a node to be started for those that are at work")
    assert not look.done()
    assert "UnitsDispatchable" in capsys.readouterr().out
    await nodes[name].end(runs[name])
    assert (await look)["stopped"] == [name]


async def test_a_service_whose_node_never_registers_is_given_up_and_another_one_started(
    scaled: Scaled, api: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three services, one of them started, and nobody who registers."""
    for node in ("n2", "n3"):
        scaled.services.stop(node)
    await api.start("http://a.town.test/")
    done = await scaled.look()
    assert (done["started"], done["given_up"]) == ([], []), "it is on its way"
    since = scaled.services.all()["n1"].missing_since
    assert since is not None
    assert (await scaled.look())["given_up"] == []
    assert scaled.services.all()["n1"].missing_since == since, "since when, not since the last look"

    monkeypatch.setattr(decision, "PATIENCE", timedelta(0))
    capsys.readouterr()
    done = await scaled.look()
    assert (done["given_up"], done["started"]) == (["n1"], ["n2"])
    assert json.loads(capsys.readouterr().out.splitlines()[0])["NodesGivenUp"] == 1
    assert await scaled.desired() == {"n1": 0, "n2": 1, "n3": 0}

    assert (await scaled.look())["started"] == [], "n2 has only now been missed"
    done = await scaled.look()
    assert (done["given_up"], done["started"]) == (["n2"], ["n3"]), "whoever has not failed is tried first"


async def test_a_node_that_has_come_is_not_missed_any_more(
    scaled: Scaled, api: Client, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    for node in ("n2", "n3"):
        scaled.services.stop(node)
    await scaled.look(least=1)
    assert scaled.services.all()["n1"].missing_since
    async with SpokenNode(valkey_server.url.replace("redis://", "redis://join:join@"), KEYS, "n1", tmp_path / "n1"):
        await scaled.look(least=1)
        assert scaled.services.all()["n1"].missing_since is None


async def test_a_rotated_key_is_good_before_and_after_replicas_know_it(scaled: Scaled, api: Client) -> None:
    """The secret holds the new key, and the replica that runs has stored the old one."""
    secrets = boto3.client("secretsmanager", endpoint_url=scaled.endpoint, region_name="eu-central-1")
    secret = secrets.create_secret(Name="scaler-key", SecretString=SCALER_KEY)["ARN"]
    assert handler.keys(secrets, secret) == [SCALER_KEY]
    secrets.put_secret_value(SecretId=secret, SecretString="lfk_" + "n" * 43)
    rotated = handler.keys(secrets, secret)
    assert rotated == ["lfk_" + "n" * 43, SCALER_KEY]
    assert await asyncio.to_thread(ControlPlane(api.url, *rotated).nodes) == []
    secrets.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
    secrets.close()


async def test_nothing_is_changed_while_the_control_plane_does_not_answer(ecs: Any) -> None:
    services = Services(ecs, "leadfleet-scaled", NODES)
    away = ControlPlane(f"http://127.0.0.1:{free_port()}", SCALER_KEY)
    before = services.all()
    with pytest.raises(OSError, match="refused"):
        await asyncio.to_thread(handler.look, away, services, fleet="scaled", least=3, slots=1, left=lambda: 1.0)
    assert services.all() == before


async def test_a_key_that_is_refused_is_told(api: Client) -> None:
    with pytest.raises(ConnectionError, match="401"):
        await asyncio.to_thread(ControlPlane(api.url, "lfk_" + "x" * 43).nodes)
