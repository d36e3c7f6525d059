"""Every variable of a task is a setting of its machine; every setting is given, or left at its default for a reason."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from browser_node.settings import Settings as NodeSettings
from control_plane.settings import Settings as ControlPlaneSettings
from egress.settings import Settings as EgressSettings
from infra.aws.parts import load
from tests.contract.aws.template import PARTS, container, secrets, tasks, variables

LIMITS_ARE_MEASURED = "a limit that suits any fleet; what grows with one is a parameter of the template"
OF_THE_PROXY = "kept by the egress proxies, which everything leaves through"

# what no variable of a task sets, and why its default is right on AWS
LEFT: dict[str, dict[str, str]] = {
    "ControlPlane": {
        "s3_endpoint": "absent means AWS itself",
        "s3_public_endpoint": "clients reach the bucket at AWS, as we do",
        "state": "the image sets it",
        "auth": "on, and it could not be off on this address",
        "egress_allow": "nothing that is not public is to be reached",
        "unit_idle_timeout": LIMITS_ARE_MEASURED,
        "control_limit": LIMITS_ARE_MEASURED,
        "lease_log": LIMITS_ARE_MEASURED,
        "rate_scale": LIMITS_ARE_MEASURED,
        "retention": LIMITS_ARE_MEASURED,
        "idempotency_memory": LIMITS_ARE_MEASURED,
        "store_memory_mb": "fits the task's 4 GB",
        "tidy_memory_mb": "fits the task's 4 GB",
        "export_expiry": "the bucket's policy refuses older signatures: both are a day",
        "stream_token_ttl": LIMITS_ARE_MEASURED,
        "enrichment_url": "off: whether a model sees leads is the operator's to decide, and it needs a way out",
        "enrichment_key": "belongs to enrichment_url",
        "enrichment_model": "belongs to enrichment_url",
        "enrichment_batch": "belongs to enrichment_url",
        "enrichment_concurrency": "belongs to enrichment_url",
        "enrichment_timeout": "belongs to enrichment_url",
        "enrichment_retries": "belongs to enrichment_url",
        "enrichment_patience": "belongs to enrichment_url",
        "enrichment_memory": "belongs to enrichment_url",
        "enrichment_breaker_failures": "belongs to enrichment_url",
        "enrichment_breaker_pause": "belongs to enrichment_url",
        "enrichment_daily_tokens": "belongs to enrichment_url",
        "enrichment_tenant_daily_tokens": "belongs to enrichment_url",
        "enrichment_price_in": "belongs to enrichment_url",
        "enrichment_price_out": "belongs to enrichment_url",
        "enrichment_daily_cost": "belongs to enrichment_url",
        "replica": "a new name a task: two of one name would share their nodes wrongly",
        "log_level": "info",
    },
    "Nodes": {
        "state": "the image sets it",
        "address": "nobody connects to a node",
        "labels": "all nodes are alike; a fleet of several kinds is several fleets",
        "user_agent": "Chrome's own",
        "recycle_units": LIMITS_ARE_MEASURED,
        "recycle_mb": LIMITS_ARE_MEASURED,
        "chrome_mb": "3,000 of the 4,096 MB that a slot has",
        "require_sandbox": "Fargate gives no user namespaces: the task without a role and the network contain Chrome",
        "check_mx": "needs a resolver of its own, and nodes have none",
        "log_level": "info",
        "egress_allow": "nothing that is not public is to be reached",
        "egress_deny": OF_THE_PROXY,
        "egress_connections": OF_THE_PROXY,
        "egress_unit_connections": OF_THE_PROXY,
        "egress_unit_mb": OF_THE_PROXY,
        "egress_connection_mb": OF_THE_PROXY,
        "egress_connection_s": OF_THE_PROXY,
        "egress_connect_s": OF_THE_PROXY,
        "egress_idle_s": OF_THE_PROXY,
    },
    "Egress": {
        "egress_allow": "nothing that is not public is to be reached",
        "egress_deny": "the VPC's range is private; operators who have public services of their own name them here",
        "egress_connections": LIMITS_ARE_MEASURED,
        "egress_unit_connections": LIMITS_ARE_MEASURED,
        "egress_unit_mb": LIMITS_ARE_MEASURED,
        "egress_connection_mb": LIMITS_ARE_MEASURED,
        "egress_connection_s": LIMITS_ARE_MEASURED,
        "egress_connect_s": LIMITS_ARE_MEASURED,
        "egress_idle_s": LIMITS_ARE_MEASURED,
        "egress_previous_secret": "for the minutes in which the secret is changed: docs/aws.md",
        "egress_total_connections": LIMITS_ARE_MEASURED,
        "egress_log_level": "info, which is the access log",
    },
}

SETTINGS: dict[str, type[BaseModel]] = {
    "ControlPlane": ControlPlaneSettings,
    "Nodes": NodeSettings,
    "Egress": EgressSettings,
}


def given(machine: str) -> set[str]:
    """The settings that the machine's task sets."""
    task = tasks()["Taskn1" if machine == "Nodes" else machine]
    names = [*variables(task), *secrets(task)]
    assert all(name.startswith("LEADFLEET_") for name in names)
    return {name.removeprefix("LEADFLEET_").lower() for name in names}


@pytest.mark.parametrize("machine", SETTINGS)
def test_every_variable_is_a_setting(machine: str) -> None:
    assert given(machine) - set(SETTINGS[machine].model_fields) == set()


@pytest.mark.parametrize("machine", SETTINGS)
def test_every_setting_is_given_or_left_for_a_reason(machine: str) -> None:
    left = LEFT[machine]
    assert set(SETTINGS[machine].model_fields) - given(machine) == set(left)
    assert [name for name, reason in left.items() if len(reason) < 4] == []


def test_machines_that_share_a_secret_are_given_the_same_one() -> None:
    """The root hands both parts one output."""
    name = "LEADFLEET_EGRESS_SECRET"
    sources = [secrets(tasks()[part])[name]["Ref"] for part in ("ControlPlane", "Egress")]
    assert [
        str(PARTS[part].given[source]) for part, source in zip(("ControlPlane", "Egress"), sources, strict=True)
    ] == ["{'Fn::GetAtt': ['Identities', 'Outputs.EgressSecret']}"] * 2


def test_nodes_find_the_egress_proxies_under_their_name() -> None:
    bind = variables(tasks()["Egress"])["LEADFLEET_EGRESS_BIND"]
    port = bind.rpartition(":")[2]
    assert variables(tasks()["Taskn1"])["LEADFLEET_EGRESS_PROXY"] == {"Fn::Sub": f"${{EgressName}}:{port}"}
    assert container(tasks()["Egress"])["PortMappings"] == [{"ContainerPort": int(port)}]
    name = PARTS["Cluster"].tree["Outputs"]["EgressName"]["Value"]["Fn::Sub"]
    service = next(r for r in PARTS["Egress"].resources() if r.kind == "AWS::ServiceDiscovery::Service")
    namespace = next(r for r in PARTS["Cluster"].resources() if r.kind == "AWS::ServiceDiscovery::PrivateDnsNamespace")
    assert name == f"{service.properties['Name']}.{namespace.properties['Name']['Fn::Sub']}"


def test_quotas_have_the_defaults_of_the_settings() -> None:
    parameters = load(PARTS["(root)"].path)["Parameters"]
    for parameter, setting in {
        "QueueCap": "queue_cap",
        "TenantMaxRunning": "tenant_max_running",
        "TenantMaxQueued": "tenant_max_queued",
        "TenantDailyUnits": "tenant_daily_units",
    }.items():
        assert parameters[parameter]["Default"] == ControlPlaneSettings.model_fields[setting].default
