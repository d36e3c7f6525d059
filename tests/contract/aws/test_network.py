"""Who may talk to whom: what reaches what is computed from the rules, and compared with a written list."""

from __future__ import annotations

import ipaddress
import re
from fnmatch import fnmatch
from typing import Any

from control_plane.app import create_app
from control_plane.settings import Settings
from fleet.addresses import is_public
from tests.contract.aws.template import PARTS, listed, of_type, one, secrets, statements, tasks

NOBODY = {"IpProtocol": "-1", "CidrIp": "127.0.0.1/32"}

# who connects to whom, on which port; everything else of the VPC is refused
MAY = {
    ("CloudFront", "LoadBalancer", 443),
    ("LoadBalancer", "ControlPlane", 8000),
    ("ControlPlane", "Valkey", 6379),
    ("ControlPlane", "Egress", 3128),
    ("ControlPlane", "Endpoint", 443),
    ("ControlPlane", "S3", 443),
    ("Node", "Valkey", 6379),
    ("Node", "Egress", 3128),
    ("Node", "Endpoint", 443),
    ("Node", "S3", 443),
    ("Egress", "Endpoint", 443),
    ("Egress", "Public", None),
}

PREFIX_LISTS = {"CloudFrontPrefixListId": "CloudFront", "S3PrefixListId": "S3", "PublicAddresses": "Public"}


def group(reference: dict[str, str]) -> str:
    return reference["Ref"].removesuffix("SecurityGroup")


def port(rule: dict[str, Any]) -> int | None:
    assert rule["IpProtocol"] == "tcp"
    return rule["FromPort"] if rule["FromPort"] == rule["ToPort"] else None


def rules(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """``(group, rule)`` of all rules of a direction, written in a group or beside it."""
    inside, beside = f"SecurityGroup{kind}", f"AWS::EC2::SecurityGroup{kind}"
    found = [
        (name.removesuffix("SecurityGroup"), rule)
        for (_, name), resource in of_type("AWS::EC2::SecurityGroup").items()
        for rule in resource.properties.get(inside, [])
    ]
    return found + [(group(r.properties["GroupId"]), r.properties) for r in of_type(beside).values()]


def allowed_out() -> set[tuple[str, str, int | None]]:
    found = set()
    for name, rule in rules("Egress"):
        if rule.get("CidrIp") == NOBODY["CidrIp"]:
            continue
        assert "CidrIp" not in rule
        assert "CidrIpv6" not in rule
        if "DestinationPrefixListId" in rule:
            found.add((name, PREFIX_LISTS[rule["DestinationPrefixListId"]["Ref"]], port(rule)))
        else:
            found.add((name, group(rule["DestinationSecurityGroupId"]), port(rule)))
    return found


def allowed_in() -> set[tuple[str, str, int | None]]:
    found = set()
    for name, rule in rules("Ingress"):
        assert "CidrIp" not in rule, f"{name} is open to an address range"
        assert "CidrIpv6" not in rule
        if "SourcePrefixListId" in rule:
            found.add((PREFIX_LISTS[rule["SourcePrefixListId"]["Ref"]], name, port(rule)))
        else:
            found.add((group(rule["SourceSecurityGroupId"]), name, port(rule)))
    return found


def test_every_group_says_what_leaves_it() -> None:
    """One that does not lets everything leave."""
    for resource in of_type("AWS::EC2::SecurityGroup").values():
        assert resource.properties["SecurityGroupEgress"]


def test_the_rules_are_those_that_are_written_down() -> None:
    outside = {"Public", "S3"}
    assert allowed_out() == {rule for rule in MAY if rule[0] != "CloudFront"}
    assert allowed_in() == {rule for rule in MAY if rule[1] not in outside}


def test_nothing_reaches_a_node() -> None:
    assert [rule for rule in allowed_in() if rule[1] == "Node"] == []


def test_egress_proxies_reach_public_addresses_and_no_private_range() -> None:
    networks = [ipaddress.ip_network(entry["Cidr"]) for entry in one("Security", "PublicAddresses")["Entries"]]
    private = ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"]
    for network in networks:
        assert not [each for each in private if network.overlaps(ipaddress.ip_network(each))], network
    left_out = {ipaddress.ip_network(each) for each in private}
    together = sum(network.num_addresses for network in networks)
    assert together == 2**32 - sum(each.num_addresses for each in left_out), "and every other address is on the list"
    assert is_public("93.184.215.14")
    assert any(ipaddress.ip_address("93.184.215.14") in network for network in networks)
    # a group has 60 rules at most, and a list counts as many as it may have entries
    most = one("Security", "PublicAddresses")["MaxEntries"]
    assert len(networks) <= most
    assert most + len([rule for rule in allowed_out() if rule[0] == "Egress"]) <= 60


def test_the_range_of_the_vpc_is_one_that_egress_cannot_reach() -> None:
    parameter = PARTS["(root)"].tree["Parameters"]["VpcCidr"]
    assert ipaddress.ip_network(parameter["Default"]).subnet_of(ipaddress.ip_network("10.0.0.0/8"))
    assert parameter["AllowedPattern"].startswith("10\\.")


def test_only_the_public_and_the_egress_subnets_have_a_way_out() -> None:
    tables = {
        resource.properties["RouteTableId"]["Ref"]
        for resource in of_type("AWS::EC2::Route").values()
        if resource.properties["DestinationCidrBlock"] == "0.0.0.0/0"
    }
    out = {
        resource.properties["SubnetId"]["Ref"]
        for resource in of_type("AWS::EC2::SubnetRouteTableAssociation").values()
        if resource.properties["RouteTableId"]["Ref"] in tables
    }
    associations = of_type("AWS::EC2::SubnetRouteTableAssociation").values()
    every = {resource.properties["SubnetId"]["Ref"] for resource in associations}
    assert out == {"PublicA", "PublicB", "EgressA", "EgressB"}
    assert every == {name for (_, name) in of_type("AWS::EC2::Subnet")}, "none falls back to the VPC's main table"


def test_services_run_where_they_belong() -> None:
    """The part's parameter `Subnets` is what the root gives it; no task has a public address."""
    where = {"ControlPlane": "PrivateSubnets", "Nodes": "PrivateSubnets", "Egress": "EgressSubnets"}
    for (part, _), service in of_type("AWS::ECS::Service").items():
        network = service.properties["NetworkConfiguration"]["AwsvpcConfiguration"]
        assert network["AssignPublicIp"] == "DISABLED"
        assert network["Subnets"] == {"Ref": "Subnets"}
        assert PARTS[part].given["Subnets"] == {"Fn::GetAtt": ["Network", f"Outputs.{where[part]}"]}
        assert PARTS[part].given["SecurityGroup"]["Fn::GetAtt"][1].endswith("SecurityGroup")


def endpoint_statements() -> list[tuple[str, dict[str, Any]]]:
    return [
        (name, statement)
        for (_, name), endpoint in of_type("AWS::EC2::VPCEndpoint").items()
        for statement in endpoint.properties["PolicyDocument"]["Statement"]
    ]


def test_endpoints_let_our_own_account_through_alone() -> None:
    for name, statement in endpoint_statements():
        if statement.get("Sid") == "ImageLayers":
            assert statement["Action"] == "s3:GetObject"
            assert "starport-layer-bucket" in statement["Resource"]["Fn::Sub"]
            continue
        assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}, name


def test_endpoints_carry_what_our_roles_may_do_and_nothing_else() -> None:
    """All that is asked through them is asked by execution roles and by the replicas' own; the scaler is outside."""
    carried = {action for _, statement in endpoint_statements() for action in listed(statement["Action"])}
    asked = {
        action
        for whose, statement in statements()
        if whose.endswith(".ExecutionRole") or whose == "ControlPlane.Role"
        for action in listed(statement["Action"])
    }
    assert carried == asked
    for name, statement in endpoint_statements():
        if "*" in listed(statement["Resource"]):
            assert statement["Action"] == "ecr:GetAuthorizationToken", name
    by_name: dict[str, set[str]] = {}
    for name, statement in endpoint_statements():
        by_name.setdefault(name, set()).update(str(resource) for resource in listed(statement["Resource"]))
    assert by_name["EcrApiEndpoint"] == by_name["EcrDockerEndpoint"]
    buckets = {f"'Ref': '{name}BucketArn'" for name in ("Leads", "Exports")}
    assert buckets == {bucket for bucket in buckets if any(bucket in each for each in by_name["S3Endpoint"])}


def test_the_endpoint_of_secrets_opens_those_that_containers_are_given() -> None:
    (statement,) = one("Endpoints", "SecretsEndpoint")["PolicyDocument"]["Statement"]
    opened = {
        str(PARTS["Endpoints"].given[resource["Ref"]]) if "Ref" in resource else resource["Fn::Sub"].rpartition(":")[2]
        for resource in statement["Resource"]
    }
    given = {
        str(PARTS["Nodes" if name.startswith("Task") else name].given[source["Ref"]])
        if "Ref" in source
        else re.sub(r"/node/\w+", "/node/*", source["Fn::Sub"].rpartition(":")[2])
        for name, task in tasks().items()
        for source in secrets(task).values()
    }
    assert opened == given


def test_endpoints_are_there_before_what_is_pulled_through_them() -> None:
    """The control plane comes after egress, and nodes after the control plane."""
    root = PARTS["(root)"].tree["Resources"]
    assert [root[part]["DependsOn"] for part in ("Egress", "ControlPlane", "Nodes")] == [
        "Endpoints", "Egress", "ControlPlane",
    ]  # fmt: skip


def test_the_load_balancer_answers_our_cloudfront_alone() -> None:
    (default,) = one("Edge", "Listener")["DefaultActions"]
    assert default["Type"] == "fixed-response"
    assert default["FixedResponseConfig"]["StatusCode"] == "403"
    (condition,) = one("Edge", "ThroughTheFrontDoor")["Conditions"]
    (origin,) = one("Edge", "Distribution")["DistributionConfig"]["Origins"]
    (header,) = origin["OriginCustomHeaders"]
    assert condition["HttpHeaderConfig"]["HttpHeaderName"] == header["HeaderName"]
    assert condition["HttpHeaderConfig"]["Values"] == [header["HeaderValue"]]
    assert header["HeaderValue"]["Fn::Sub"].startswith("{{resolve:secretsmanager:")


def test_nothing_is_cached_or_compressed_on_the_way() -> None:
    config = one("Edge", "Distribution")["DistributionConfig"]
    disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # CloudFront's Managed-CachingDisabled
    for behaviour in [config["DefaultCacheBehavior"], *config["CacheBehaviors"]]:
        assert behaviour["CachePolicyId"] == disabled
        assert behaviour["Compress"] is False
        assert "CachedMethods" not in behaviour


def test_every_stream_has_a_behaviour() -> None:
    """WebSockets, Server-Sent Events and MJPEG of the routes; a stream that is added has to be looked at here."""
    app = create_app(Settings(), background=False)
    streams = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if rule.websocket or rule.endpoint in {"streams.server_sent", "live.live_feed"}
    }
    patterns = [b["PathPattern"] for b in one("Edge", "Distribution")["DistributionConfig"]["CacheBehaviors"]]
    assert len(streams) == 6
    assert [rule for rule in streams if not any(fnmatch(rule, pattern) for pattern in patterns)] == []


def test_pages_of_other_peoples_buckets_are_not_asked_for_through_our_endpoint() -> None:
    """Its policy knows our buckets alone, and part of the web that is read is S3."""
    assert PARTS["Network"].tree["Outputs"]["RouteTables"] == {"Value": {"Ref": "PrivateRoutes"}}
    assert one("Endpoints", "S3Endpoint")["RouteTableIds"] == {"Ref": "RouteTables"}
