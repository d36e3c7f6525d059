"""What the linters pass and Fargate refuses, and what our containers may not have."""

from __future__ import annotations

from typing import Any

import pytest

from infra.aws.parts import load
from tests.contract.aws.template import (
    PARTS,
    attributes,
    container,
    node_tasks,
    of_type,
    one,
    secrets,
    tasks,
    variables,
)
from tests.support import REPOSITORY

# AWS, "Task CPU and memory" of Fargate: CPU units → least MB, most MB, step
FARGATE_SIZES = {
    256: (512, 2048, 512),
    512: (1024, 4096, 1024),
    1024: (2048, 8192, 1024),
    2048: (4096, 16384, 1024),
    4096: (8192, 30720, 1024),
    8192: (16384, 61440, 4096),
    16384: (32768, 122880, 8192),
}

# container settings that ECS knows, the linters pass, and Fargate refuses when the task is registered
REFUSED_IN_CONTAINERS = {"Privileged", "DockerSecurityOptions", "Links", "ExtraHosts", "Hostname", "DnsServers"}
REFUSED_IN_LINUX_PARAMETERS = {"SharedMemorySize", "Devices", "MaxSwap", "Swappiness"}

EACH_TASK = pytest.mark.parametrize("name", sorted(tasks()))


def refused_by_fargate(task: dict[str, Any]) -> list[str]:
    found = []
    for each in task["ContainerDefinitions"]:
        found += sorted(REFUSED_IN_CONTAINERS & set(each))
        found += sorted(REFUSED_IN_LINUX_PARAMETERS & set(each.get("LinuxParameters", {})))
    return found


def size_fits(cpu: str, memory: str) -> bool:
    least, most, step = FARGATE_SIZES.get(int(cpu), (1, 0, 1))
    return least <= int(memory) <= most and int(memory) % step == 0


def sizes(task: dict[str, Any]) -> list[tuple[str, str]]:
    """What the task may be; a node's are in a mapping."""
    if isinstance(task["Cpu"], str):
        return [(task["Cpu"], task["Memory"])]
    assert (task["Cpu"]["Fn::FindInMap"][2], task["Memory"]["Fn::FindInMap"][2]) == ("Cpu", "Memory")
    return [(size["Cpu"], size["Memory"]) for size in PARTS["Nodes"].tree["Mappings"]["Sizes"].values()]


@EACH_TASK
def test_fargate_accepts_it(name: str) -> None:
    task = tasks()[name]
    assert task["RequiresCompatibilities"] == ["FARGATE"]
    assert task["NetworkMode"] == "awsvpc"
    assert refused_by_fargate(task) == []
    assert [size for size in sizes(task) if not size_fits(*size)] == []


@EACH_TASK
def test_it_writes_to_its_state_alone_and_holds_no_capabilities(name: str) -> None:
    each = container(tasks()[name])
    assert each["ReadonlyRootFilesystem"] is True
    assert each["LinuxParameters"] == {"Capabilities": {"Drop": ["ALL"]}}
    assert [mount["ContainerPath"] for mount in each.get("MountPoints", [])] in ([], ["/state"])


@EACH_TASK
def test_its_state_is_a_disk_of_the_tasks_own_that_ends_with_it(name: str) -> None:
    """A volume of no other kind is Fargate's own storage, encrypted and the task's alone; the image's `VOLUME` has it
    belong to the image's user."""
    task = tasks()[name]
    assert task.get("Volumes", []) in ([], [{"Name": "state"}])
    file = {"ControlPlane": "infra/Dockerfile.control_plane", "Egress": "infra/Dockerfile.egress"}
    lines = (REPOSITORY / file.get(name, "Dockerfile.node")).read_text(encoding="utf-8").splitlines()
    assert ("VOLUME /state" in lines) == bool(task.get("Volumes"))


@EACH_TASK
def test_its_command_is_the_images_own(name: str) -> None:
    """No shell that puts settings together: a page that breaks out would find one."""
    assert not {"Command", "EntryPoint"} & set(container(tasks()[name]))


@EACH_TASK
def test_its_health_is_asked_without_a_shell(name: str) -> None:
    """ECS reads no HEALTHCHECK of an image, and waits for one of its own before it calls a deployment done."""
    health = container(tasks()[name])["HealthCheck"]
    assert health["Command"][0] == "CMD"
    assert health["Timeout"] < health["Interval"]
    assert health["StartPeriod"] <= 300


@EACH_TASK
def test_its_log_is_kept_for_a_while(name: str) -> None:
    log = container(tasks()[name])["LogConfiguration"]
    assert log["LogDriver"] == "awslogs"
    assert "awslogs-group" in log["Options"]


def test_log_groups_end_their_lines() -> None:
    for resource in of_type("AWS::Logs::LogGroup").values():
        assert resource.properties["RetentionInDays"] == {"Ref": "LogDays"}


def test_only_the_control_plane_has_rights_in_the_account() -> None:
    assert {name for name, task in tasks().items() if "TaskRoleArn" in task} == {"ControlPlane"}


def test_a_node_is_given_its_own_password_and_knows_no_secret_of_the_control_plane() -> None:
    of_control_plane = {str(secret) for secret in secrets(tasks()["ControlPlane"]).values()}
    assert {"{'Ref': 'ControlUrl'}", "{'Ref': 'SigningSecret'}"} <= of_control_plane
    for node, task in node_tasks().items():
        given = secrets(task)
        assert set(given) == {"LEADFLEET_JOIN_URL", "LEADFLEET_NODE_PASSWORD"}
        assert given["LEADFLEET_JOIN_URL"] == {"Ref": "JoinUrl"}
        assert given["LEADFLEET_NODE_PASSWORD"]["Fn::Sub"].endswith(f":secret:leadfleet/${{Fleet}}/node/{node}")
        assert not {str(secret) for secret in given.values()} & of_control_plane
        made = one("Identities", f"NodePassword{node}")
        assert made["Name"] == {"Fn::Sub": f"leadfleet/${{Fleet}}/node/{node}"}


def test_an_id_is_used_by_one_task_at_a_time() -> None:
    for (part, _), service in of_type("AWS::ECS::Service").items():
        if part == "Nodes":
            assert service.properties["DeploymentConfiguration"]["MaximumPercent"] == 100
            # ECS refuses to move tasks between zones when there may not be two
            assert service.properties["AvailabilityZoneRebalancing"] == "DISABLED"


def test_who_scales_a_service_is_not_undone_by_an_update() -> None:
    """CloudFormation sets a DesiredCount that stands in the template at every change of the service."""
    with_count = {part for (part, _), s in of_type("AWS::ECS::Service").items() if "DesiredCount" in s.properties}
    assert with_count == {"Egress"}


def test_the_count_of_replicas_is_brought_within_its_limits_whoever_set_it() -> None:
    """Without it, a service that stands at 0 has no metric that any policy would act on."""
    target = one("ControlPlane", "Replicas")
    limits = {name: target[name] for name in ("MinCapacity", "MaxCapacity")}
    assert limits == {"MinCapacity": {"Ref": "LeastReplicas"}, "MaxCapacity": {"Ref": "MostReplicas"}}
    (action,) = target["ScheduledActions"]
    assert action["ScalableTargetAction"] == limits
    assert action["Schedule"] == "rate(5 minutes)"
    parameters = PARTS["(root)"].tree["Parameters"]
    assert parameters["LeastReplicas"]["MinValue"] == parameters["MostReplicas"]["MinValue"] == 0, (
        "which stops them all"
    )


def test_slots_fit_the_size_of_a_node() -> None:
    """A Chrome a vCPU, and 4 GB for each: the agent kills one at LEADFLEET_CHROME_MB."""
    for name, size in PARTS["Nodes"].tree["Mappings"]["Sizes"].items():
        assert int(size["Slots"]) * 1024 == int(size["Cpu"]), name
        assert int(size["Slots"]) * 4096 == int(size["Memory"]), name
    offered = load(REPOSITORY / "template.yaml")["Parameters"]["NodeSize"]["AllowedValues"]
    assert set(offered) == set(PARTS["Nodes"].tree["Mappings"]["Sizes"])
    for task in node_tasks().values():
        assert variables(task)["LEADFLEET_SLOTS"]["Fn::FindInMap"][2] == "Slots"


@pytest.mark.parametrize(
    ("cpu", "memory", "fits"), [("1024", "4096", True), ("1024", "9216", False), ("300", "512", False)]
)
def test_the_check_of_sizes_knows_fargate(cpu: str, memory: str, fits: bool) -> None:
    assert size_fits(cpu, memory) is fits


def test_the_check_for_fargate_sees_what_the_linters_pass() -> None:
    """Would these tests fail? Both settings are ECS's own, and the linters pass them."""
    bad = {"Privileged": True, "LinuxParameters": {"SharedMemorySize": 512}}
    assert refused_by_fargate({"ContainerDefinitions": [bad]}) == ["Privileged", "SharedMemorySize"]


def test_balanced_services_name_their_container_and_port() -> None:
    service = one("ControlPlane", "Service")
    (behind,) = service["LoadBalancers"]
    assert behind["ContainerName"] == container(tasks()["ControlPlane"])["Name"]
    assert {"ContainerPort": behind["ContainerPort"]} in container(tasks()["ControlPlane"])["PortMappings"]
    assert attributes(one("Edge", "Replicas")["TargetGroupAttributes"])
