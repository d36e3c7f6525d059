"""template.yaml: what the linter says, and what the linter passes and AWS or our own rules refuse."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import cfnlint.api
import cfnlint.config
import pytest
import yaml

from browser_node.settings import Settings as NodeSettings
from control_plane.__main__ import KEEP_ALIVE_S, PING_INTERVAL_S
from control_plane.settings import Settings as ControlPlaneSettings
from control_plane.store import objects
from control_plane.store.export_records import RETENTION
from fleet.keys import JOIN_USER, Keys, join_acl
from infra.stack import valkey
from tests.support import REPOSITORY

TEMPLATE = REPOSITORY / "template.yaml"

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

FARGATE_MOST_STOP_TIMEOUT_S = 120

# container settings that ECS knows, the linter passes, and Fargate refuses when the task is registered
REFUSED_IN_CONTAINERS = {"Privileged", "DockerSecurityOptions", "Links", "ExtraHosts", "Hostname", "DnsServers"}
REFUSED_IN_LINUX_PARAMETERS = {"SharedMemorySize", "Tmpfs", "Devices", "MaxSwap", "Swappiness"}

Resource = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """Reads ``!Ref X`` as ``{"Ref": X}`` and ``!Sub x`` as ``{"Fn::Sub": x}``."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _intrinsic)


def parse(text: str) -> dict[str, Resource]:
    return yaml.load(text, _Loader)["Resources"]


RESOURCES = parse(TEMPLATE.read_text(encoding="utf-8"))


def of_type(kind: str) -> dict[str, Resource]:
    """Properties of all resources of a type, by logical id."""
    found = {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}
    assert found, f"the template has no {kind}"
    return found


def tasks() -> dict[str, Resource]:
    return of_type("AWS::ECS::TaskDefinition")


def node_tasks() -> dict[str, Resource]:
    found = {name: task for name, task in tasks().items() if name.startswith("Node")}
    assert found
    return found


def environment(task: Resource) -> set[str]:
    """Names of all variables of a task, secrets included."""
    containers = task["ContainerDefinitions"]
    return {item["Name"] for c in containers for item in c.get("Environment", []) + c.get("Secrets", [])}


def refused_by_fargate(task: Resource) -> list[str]:
    found = []
    for container in task["ContainerDefinitions"]:
        found += sorted(REFUSED_IN_CONTAINERS & set(container))
        found += sorted(REFUSED_IN_LINUX_PARAMETERS & set(container.get("LinuxParameters", {})))
    return found


def size_fits(cpu: str, memory: str) -> bool:
    least, most, step = FARGATE_SIZES.get(int(cpu), (1, 0, 1))
    return least <= int(memory) <= most and int(memory) % step == 0


def attributes(listed: list[dict[str, str]]) -> dict[str, str]:
    return {item["Key"]: item["Value"] for item in listed}


def test_the_linter_has_nothing_to_say() -> None:
    config = cfnlint.config.ManualArgs(regions=["us-east-1", "eu-central-1"])
    assert [str(match) for match in cfnlint.api.lint(TEMPLATE.read_text(encoding="utf-8"), config=config)] == []


@pytest.mark.parametrize("name", sorted(tasks()))
def test_fargate_accepts_each_task(name: str) -> None:
    task = tasks()[name]
    assert task["RequiresCompatibilities"] == ["FARGATE"]
    assert task["NetworkMode"] == "awsvpc"
    assert refused_by_fargate(task) == []
    assert size_fits(task["Cpu"], task["Memory"]), f"Fargate has no {task['Cpu']} / {task['Memory']}"


@pytest.mark.parametrize("name", sorted(tasks()))
def test_containers_write_to_their_state_alone_and_hold_no_capabilities(name: str) -> None:
    for container in tasks()[name]["ContainerDefinitions"]:
        assert container["ReadonlyRootFilesystem"] is True
        assert container["LinuxParameters"]["Capabilities"] == {"Drop": ["ALL"]}
        assert [mount["ContainerPath"] for mount in container["MountPoints"]] == ["/state"]


def test_nodes_have_no_task_role_and_know_no_secret_of_the_control_plane() -> None:
    of_control_plane = {
        secret["ValueFrom"]["Ref"]
        for container in tasks()["ControlPlaneTask"]["ContainerDefinitions"]
        for secret in container["Secrets"]
    }
    assert {"ControlUrl", "SigningSecret"} <= of_control_plane
    for task in node_tasks().values():
        assert "TaskRoleArn" not in task
        secrets = {s["ValueFrom"]["Ref"] for c in task["ContainerDefinitions"] for s in c["Secrets"]}
        assert secrets
        assert not secrets & of_control_plane


def test_a_node_is_given_its_own_password_alone() -> None:
    for name, task in node_tasks().items():
        (container,) = task["ContainerDefinitions"]
        given = {secret["Name"]: secret["ValueFrom"]["Ref"] for secret in container["Secrets"]}
        assert given["NODE_PASSWORD"] == name.removesuffix("Task") + "Password"


@pytest.mark.parametrize("name", sorted(tasks()))
def test_every_variable_is_a_setting_of_its_machine(name: str) -> None:
    settings = NodeSettings if name.startswith("Node") else ControlPlaneSettings
    known = {f"LEADFLEET_{field.upper()}" for field in settings.model_fields}
    given = {variable for variable in environment(tasks()[name]) if variable.startswith("LEADFLEET_")}
    assert given
    assert given <= known


@pytest.mark.parametrize("name", sorted(tasks()))
def test_what_is_secret_is_given_by_reference(name: str) -> None:
    secret = re.compile(r"PASSWORD|SECRET|KEY|TOKEN|_URL$")
    for container in tasks()[name]["ContainerDefinitions"]:
        plain = [item["Name"] for item in container["Environment"]]
        assert [variable for variable in plain if secret.search(variable)] == []
        assert all(
            RESOURCES[s["ValueFrom"]["Ref"]]["Type"] == "AWS::SecretsManager::Secret" for s in container["Secrets"]
        )


def test_no_secret_has_its_value_in_the_template() -> None:
    for name, secret in of_type("AWS::SecretsManager::Secret").items():
        value = secret.get("SecretString", {}).get("Fn::Sub", "")
        assert "GenerateSecretString" in secret or "{{resolve:secretsmanager:" in value, name


def test_an_execution_role_reads_exactly_the_secrets_of_its_tasks() -> None:
    for role, task_names in {
        "ControlPlaneExecutionRole": {"ControlPlaneTask"},
        "NodeExecutionRole": set(node_tasks()),
    }.items():
        (policy,) = RESOURCES[role]["Properties"]["Policies"]
        (statement,) = policy["PolicyDocument"]["Statement"]
        needed = {
            s["ValueFrom"]["Ref"] for t in task_names for c in tasks()[t]["ContainerDefinitions"] for s in c["Secrets"]
        }
        assert {resource["Ref"] for resource in statement["Resource"]} == needed


def test_no_right_is_given_on_everything() -> None:
    for name, role in of_type("AWS::IAM::Role").items():
        for policy in role.get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                assert not [action for action in actions if "*" in action], name
                assert statement["Resource"] != "*", name


def test_only_the_load_balancer_is_reached_from_the_internet() -> None:
    open_groups = {
        name
        for name, group in of_type("AWS::EC2::SecurityGroup").items()
        for rule in group.get("SecurityGroupIngress", [])
        if rule.get("CidrIp") == "0.0.0.0/0" or rule.get("CidrIpv6") == "::/0"
    }
    assert open_groups == {"LoadBalancerSecurityGroup"}
    assert "AWS::EC2::SecurityGroupIngress" not in {r["Type"] for r in RESOURCES.values()}


def test_nothing_reaches_a_node() -> None:
    assert "SecurityGroupIngress" not in RESOURCES["NodeSecurityGroup"]["Properties"]


@pytest.mark.parametrize("name", sorted(of_type("AWS::ECS::Service")))
def test_services_run_in_private_subnets(name: str) -> None:
    network = RESOURCES[name]["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["AssignPublicIp"] == "DISABLED"
    assert network["Subnets"] == {"Ref": "PrivateSubnetIds"}


def test_the_timeouts_of_the_edge_fit_together() -> None:
    (balancer,) = of_type("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    idle = int(attributes(balancer["LoadBalancerAttributes"])["idle_timeout.timeout_seconds"])
    assert idle > PING_INTERVAL_S * 2, "a stream survives one lost ping"
    assert idle < KEEP_ALIVE_S, "the load balancer closes first, never the replica"


def test_a_node_has_time_to_drain() -> None:
    for task in node_tasks().values():
        (container,) = task["ContainerDefinitions"]
        drain = next(float(e["Value"]) for e in container["Environment"] if e["Name"] == "LEADFLEET_DRAIN_S")
        assert drain < container["StopTimeout"] <= FARGATE_MOST_STOP_TIMEOUT_S


def test_valkey_is_durable_encrypted_and_never_evicts() -> None:
    (group,) = of_type("AWS::ElastiCache::ReplicationGroup").values()
    assert group["Durability"] == "sync"
    assert group["TransitEncryptionEnabled"] is True
    assert group["AtRestEncryptionEnabled"] is True
    (parameters,) = of_type("AWS::ElastiCache::ParameterGroup").values()
    assert parameters["Properties"]["maxmemory-policy"] == "noeviction"


def test_what_packs_the_memory_of_valkey_is_set_alike_everywhere() -> None:
    (parameters,) = of_type("AWS::ElastiCache::ParameterGroup").values()
    embedded = valkey.command(Path(), 0)
    compose = (REPOSITORY / "infra/compose.yaml").read_text(encoding="utf-8").split()
    for setting in ("stream-node-max-bytes", "hash-max-listpack-value"):
        value = str(parameters["Properties"][setting])
        assert [each[each.index(f"--{setting}") + 1] for each in (embedded, compose)] == [value, value]


def test_the_users_of_valkey_have_the_rules_of_the_contract() -> None:
    """ElastiCache makes these users from the template, where the control plane makes them elsewhere."""
    keys = Keys("prod")
    expected = {JOIN_USER: join_acl(keys)}
    for task in node_tasks().values():
        (container,) = task["ContainerDefinitions"]
        node = next(e["Value"] for e in container["Environment"] if e["Name"] == "LEADFLEET_NODE_ID")
        expected[f"node-{node}"] = keys.node_acl(node)
    users = {user["UserName"]: user["AccessString"] for user in of_type("AWS::ElastiCache::User").values()}
    assert users.pop("control") == "on ~* &* +@all"
    assert set(users) == set(expected)
    for name, rules in expected.items():
        given = shlex.split(users[name]["Fn::Sub"].replace("${Fleet}", "prod"))
        # a user that ElastiCache makes starts without keys, and its strings may not reset
        assert given == ["on", *(rule for rule in rules if rule != "resetkeys")], name


def test_the_bucket_is_private_and_spoken_to_over_tls() -> None:
    (bucket,) = of_type("AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (policy,) = of_type("AWS::S3::BucketPolicy").values()
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_the_bucket_forgets_what_a_bucket_of_our_own_forgets() -> None:
    """And records in Valkey are kept as long as the objects they tell of."""
    (bucket,) = of_type("AWS::S3::Bucket").values()
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    ours = {rule["ID"]: rule for rule in objects.LIFECYCLE["Rules"]}
    assert set(rules) == set(ours)
    assert {rule["Status"] for rule in [*rules.values(), *ours.values()]} == {"Enabled"}
    assert rules["exports"]["Prefix"] == ours["exports"]["Filter"]["Prefix"] == "exports/"
    assert rules["exports"]["ExpirationInDays"] == ours["exports"]["Expiration"]["Days"] == RETENTION.days
    assert "Prefix" not in rules["uploads"]
    assert rules["uploads"]["AbortIncompleteMultipartUpload"] == ours["uploads"]["AbortIncompleteMultipartUpload"]


def test_the_control_plane_may_do_what_exports_do() -> None:
    """Making a bucket apart, which the template does."""
    rights = {
        "abort_multipart_upload": "s3:AbortMultipartUpload",
        "complete_multipart_upload": "s3:PutObject",
        "create_multipart_upload": "s3:PutObject",
        "delete_object": "s3:DeleteObject",
        "head_bucket": "s3:ListBucket",
        "head_object": "s3:GetObject",
        "list_multipart_uploads": "s3:ListBucketMultipartUploads",
        "list_parts": "s3:ListMultipartUploadParts",
        "put_object": "s3:PutObject",
        "upload_part": "s3:PutObject",
    }
    called = set(re.findall(r'_call\(\s*"(\w+)"', Path(objects.__file__).read_text(encoding="utf-8")))
    assert called == set(rights) | {"create_bucket", "put_bucket_lifecycle_configuration"}
    (policy,) = RESOURCES["ControlPlaneRole"]["Properties"]["Policies"]
    statements = policy["PolicyDocument"]["Statement"]
    given = {action for statement in statements for action in statement["Action"]}
    assert set(rights.values()) <= given


def test_what_holds_data_outlives_the_stack() -> None:
    for kind in ("AWS::S3::Bucket", "AWS::ElastiCache::ReplicationGroup"):
        for resource in (r for r in RESOURCES.values() if r["Type"] == kind):
            assert resource["DeletionPolicy"] in {"Retain", "Snapshot"}
            assert resource["UpdateReplacePolicy"] in {"Retain", "Snapshot"}


@pytest.mark.parametrize(
    ("cpu", "memory", "fits"), [("1024", "4096", True), ("1024", "9216", False), ("300", "512", False)]
)
def test_the_check_of_sizes_knows_fargate(cpu: str, memory: str, fits: bool) -> None:
    assert size_fits(cpu, memory) is fits


def test_the_check_for_fargate_sees_what_the_linter_passes() -> None:
    """Would these tests fail? Both settings are ECS's own, and the linter may pass them."""
    container = {"Privileged": True, "LinuxParameters": {"SharedMemorySize": 512}}
    assert refused_by_fargate({"ContainerDefinitions": [container]}) == ["Privileged", "SharedMemorySize"]
