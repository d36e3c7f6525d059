"""What compose.yaml promises of every container, and who reaches whom."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from browser_node.settings import Settings as NodeSettings
from control_plane.errors import Unavailable
from control_plane.settings import Settings as ControlPlaneSettings
from egress.settings import Settings as EgressSettings
from tests.support import REPOSITORY

TEXT = (REPOSITORY / "infra" / "compose.yaml").read_text(encoding="utf-8")
STACK: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]

NO_MACHINE = {"com.docker.network.bridge.inhibit_ipv4": "true"}
"""The machine has no address on a network with this."""

each = pytest.mark.parametrize("name", SERVICES)


def seconds(duration: str) -> float:
    assert re.fullmatch(r"\d+s", duration), duration
    return float(duration[:-1])


@each
def test_a_container_cannot_write_gain_rights_or_take_the_machine(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode"} & set(service)
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["restart"] == "unless-stopped"


@each
def test_nothing_is_offered_to_the_world(name: str) -> None:
    """A port that is published is this machine's alone."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@each
def test_an_image_of_others_is_of_one_version(name: str) -> None:
    """A tag that moves brings a version that nobody has tried."""
    image = SERVICES[name]["image"]
    if not image.startswith("leadfleet/"):
        assert re.fullmatch(r"[a-z]+/[a-z]+:\d+\.\d+\.\d+", image)


@each
def test_its_health_is_asked_by_its_image_or_here(name: str) -> None:
    service = SERVICES[name]
    assert "build" in service or service["healthcheck"]["test"][0] == "CMD"


@each
def test_it_starts_when_what_it_needs_is_healthy(name: str) -> None:
    for wanted, condition in SERVICES[name].get("depends_on", {}).items():
        assert wanted in SERVICES
        assert condition == {"condition": "service_healthy"}


def networks(name: str) -> set[str]:
    return set(SERVICES[name]["networks"])


def test_a_node_reaches_valkey_and_the_egress_proxy_alone() -> None:
    assert networks("node") == {"fleet"}
    assert {name for name in SERVICES if "fleet" in networks(name)} == {"valkey", "egress", "node"}
    assert STACK["networks"]["fleet"]["internal"] is True
    assert STACK["networks"]["fleet"]["driver_opts"] == NO_MACHINE
    assert "ports" not in SERVICES["node"]


def test_what_leads_out_is_the_way_in_and_the_egress_proxys_alone() -> None:
    open_networks = {network for network, options in STACK["networks"].items() if not options.get("internal")}
    assert open_networks == {"edge", "outside"}
    leading_out = {name for name in SERVICES if networks(name) & open_networks}
    assert leading_out == {"proxy", "egress", "town"}
    assert {name for name in SERVICES if "ports" in SERVICES[name]} == {"proxy"}


def test_what_replicas_fetch_goes_through_the_egress_proxy() -> None:
    environment = SERVICES["control-plane"]["environment"]
    assert environment["LEADFLEET_EGRESS_PROXY"] == SERVICES["node"]["environment"]["LEADFLEET_EGRESS_PROXY"]
    assert {name for name in SERVICES if "outward" in networks(name)} == {"control-plane", "egress"}
    assert STACK["networks"]["outward"] == {"internal": True, "driver_opts": NO_MACHINE}


def test_files_are_downloaded_at_the_address_of_the_api() -> None:
    """A link needs no name that a machine might not know, and the object storage no way in."""
    environment = SERVICES["control-plane"]["environment"]
    (published,) = SERVICES["proxy"]["ports"]
    assert environment["LEADFLEET_S3_PUBLIC_ENDPOINT"] == f"http://localhost:{published.split(':', 1)[1][:-5]}"
    proxy = (REPOSITORY / "infra" / "proxy" / "haproxy.cfg").read_text(encoding="utf-8")
    bucket = ControlPlaneSettings.model_fields["s3_bucket"].default
    assert f"use_backend downloads if METH_GET {{ path_beg /{bucket}/exports/ }}\n" in proxy


def test_only_a_node_may_ask_for_more_of_the_kernel() -> None:
    asking = {name for name, service in SERVICES.items() if any("seccomp" in o for o in service["security_opt"])}
    assert asking == {"node"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [("node", NodeSettings), ("control-plane", ControlPlaneSettings), ("egress", EgressSettings)],
)
def test_every_variable_is_a_setting(name: str, settings: Any) -> None:
    given = {key for key in SERVICES[name]["environment"] if key.startswith("LEADFLEET_")}
    known = {f"LEADFLEET_{field.upper()}" for field in settings.model_fields}
    assert {key.removesuffix("_FILE") for key in given} <= known


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_secret_comes_in_files_of_those_who_need_it(name: str) -> None:
    service = SERVICES[name]
    for key, value in service.get("environment", {}).items():
        if key.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/") in service["secrets"], key
        assert not re.search(r"(SECRET|PASSWORD|BOOTSTRAP_KEY|REDIS_URL|JOIN_URL)$", key), key
    assert set(service.get("secrets", ())) <= set(STACK["secrets"])


def test_who_has_which_secret() -> None:
    assert set(SERVICES["node"]["secrets"]) == {"join_url"}
    assert set(SERVICES["egress"]["secrets"]) == {"egress_secret"}


def test_a_stop_lasts_longer_than_what_it_waits_for() -> None:
    drain_s = NodeSettings.model_fields["drain_s"].default
    assert seconds(SERVICES["node"]["stop_grace_period"]) >= drain_s + 10
    egress_drain_s = EgressSettings.model_fields["egress_drain_s"].default
    assert seconds(SERVICES["egress"]["stop_grace_period"]) >= egress_drain_s + 5
    delay_s = float(SERVICES["control-plane"]["environment"]["LEADFLEET_STOP_DELAY"])
    assert seconds(SERVICES["control-plane"]["stop_grace_period"]) >= delay_s + 15


def test_the_proxy_waits_longer_than_streams_are_silent() -> None:
    """Event streams say something every 15 s, WebSockets are pinged every 20 s."""
    proxy = (REPOSITORY / "infra" / "proxy" / "haproxy.cfg").read_text(encoding="utf-8")
    for side in ("client", "server"):
        (limit,) = re.findall(rf"^    timeout {side} (\d+)s$", proxy, re.MULTILINE)
        assert int(limit) > 3 * 20
    assert "retry-on conn-failure\n" in proxy, "what may have been sent is never sent twice"
    assert "%HPO" in proxy, "no query in the log: it holds tokens"
    assert "%r" not in proxy.replace("retries=%rc", "")
    assert "/health/ready" in proxy


def test_what_the_proxy_says_itself_is_a_problem_that_clients_can_read() -> None:
    proxy = (REPOSITORY / "infra" / "proxy" / "haproxy.cfg").read_text(encoding="utf-8")
    said = re.findall(
        r"^    http-error status (\d+) content-type \"application/problem\+json\" string '(.*)' hdr Retry-After 1$",
        proxy,
        re.MULTILINE,
    )
    problems = [(int(status), json.loads(text)) for status, text in said]
    assert [status for status, _ in problems] == [502, 503, 504]
    for status, problem in problems:
        assert set(problem) == {"type", "title", "status", "detail"} <= set(Unavailable("").body())
        assert problem["status"] == status
