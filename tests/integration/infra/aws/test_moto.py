"""As far as moto carries CloudFormation: each part deployed to it with what the root would hand it, and looked at.

Nested stacks of moto have no outputs, and `Fn::Cidr`, loops and SAM's transform are beyond it: parts are deployed one
by one, networks and loops written out. `NOT_CARRIED` is what it knows nothing of; that is checked by reading alone,
and so are properties that moto drops (attributes of balancers, most of a bucket, roles of tasks).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation.parsing import resource_class_from_type

from infra.aws.functions.scaler.services import Services
from infra.aws.parts import Part, parts, written_out

NODES = ["n1", "n2"]

GIVEN = {
    "DomainName": "leads.example.com",
    "AllowedOrigins": "https://app.example.com",
    "CloudFrontPrefixListId": "pl-3b927c52",
    "S3PrefixListId": "pl-63a5400a",
    **{
        f"{part}Image": f"123456789012.dkr.ecr.us-east-1.amazonaws.com/leadfleet/{part.lower()}@sha256:{'0' * 64}"
        for part in ("ControlPlane", "Node", "Egress")
    },
    "NodeIds": ",".join(NODES),
    "AlarmEmail": "ops@example.com",
}

NOT_CARRIED = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::Athena::WorkGroup",
    "AWS::CloudFront::Distribution",
    "AWS::CloudWatch::Alarm",
    "AWS::EC2::PrefixList",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::ElastiCache::ParameterGroup",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::SubnetGroup",
    "AWS::ElastiCache::User",
    "AWS::ElastiCache::UserGroup",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SecretsManager::Secret",
    "AWS::Serverless::Function",
    "AWS::ServiceDiscovery::PrivateDnsNamespace",
    "AWS::ServiceDiscovery::Service",
}

ROOT: dict[str, Any] = parts()[0].tree["Parameters"]


@dataclass
class Account:
    """What moto holds after all parts were deployed."""

    given: dict[str, str]
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    resources: dict[str, dict[str, str]] = field(default_factory=dict)
    """Physical ids by part and logical id."""

    def deploy(self, part: Part) -> None:
        every = {name: _networks(body) for _, name, body in written_out(part.tree["Resources"], {"NodeIds": NODES})}
        gone = [name for name, body in every.items() if body["Type"] in NOT_CARRIED]
        template = {key: value for key, value in part.tree.items() if key != "Transform"}
        template["Resources"] = {name: body for name, body in every.items() if name not in gone}
        handed = [
            {"ParameterKey": name, "ParameterValue": self._value(value)} for name, value in part.given.items()
        ]  # fmt: skip
        cloudformation, name = boto3.client("cloudformation"), part.name.lower()
        cloudformation.create_stack(
            StackName=name, TemplateBody=json.dumps(_without(template, gone)), Parameters=handed
        )
        (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE", part.name
        made = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        self.resources[part.name] = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in made}
        # moto tells no outputs of a stack whose load balancer it calls provisioning
        plain = {key: output["Value"].get("Ref", "") for key, output in part.tree.get("Outputs", {}).items()}
        self.outputs[part.name] = {key: self.resources[part.name].get(ref, key) for key, ref in plain.items()}
        self.outputs[part.name] |= {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}

    def _value(self, value: Any) -> str:
        """What the root hands over: a parameter of its own, a list of it, or an output of a part before."""
        if "Ref" in value:
            return str(self.given.get(value["Ref"], ROOT[value["Ref"]].get("Default", "")))
        if "Fn::Join" in value:
            return str(self.given[value["Fn::Join"][1]["Ref"]])
        part, output = value["Fn::GetAtt"]
        return self.outputs[part][output.removeprefix("Outputs.")]


def _networks(tree: Any) -> Any:
    """`Fn::Select` of `Fn::Cidr` written out, for the default range."""
    if isinstance(tree, list):
        return [_networks(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    index, of = tree.get("Fn::Select", (0, None))
    if isinstance(of, dict) and "Fn::Cidr" in of:
        return f"10.42.{16 * index}.0/20"
    return {key: _networks(value) for key, value in tree.items()}


def _without(tree: Any, gone: list[str]) -> Any:
    """What refers to a resource that is not there refers to its name."""
    if isinstance(tree, str):
        return re.sub(rf"\$\{{({'|'.join(gone)})(\.\w+)*\}}", r"\1", tree) if gone else tree
    if isinstance(tree, list):
        return [_without(each, gone) for each in tree]
    if not isinstance(tree, dict):
        return tree
    name = tree.get("Ref") or (tree.get("Fn::GetAtt") or [""])[0]
    if len(tree) == 1 and name in gone:
        return name
    return {key: _without(value, gone) for key, value in tree.items()}


@pytest.fixture(scope="module")
def account() -> Iterator[Account]:
    with pytest.MonkeyPatch.context() as patched, mock_aws():
        for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"}.items():
            patched.setenv(f"AWS_{name}", value)
        made_for = boto3.client("acm").request_certificate(DomainName=GIVEN["DomainName"])["CertificateArn"]
        made = Account(GIVEN | {"CertificateArn": made_for, "EdgeCertificateArn": made_for})
        for part in parts()[1:]:
            made.deploy(part)
        yield made


def test_the_list_of_what_moto_does_not_carry_is_right() -> None:
    kinds = {resource.kind for part in parts()[1:] for resource in part.resources()}
    assert {kind for kind in kinds if resource_class_from_type(kind) is None} == NOT_CARRIED


def test_two_egress_tables_and_the_public_one_lead_out(account: Account) -> None:
    tables = boto3.client("ec2").describe_route_tables()["RouteTables"]
    out = {
        table["RouteTableId"]
        for table in tables
        if any(route.get("DestinationCidrBlock") == "0.0.0.0/0" for route in table["Routes"])
    }
    made = account.resources["Network"]
    assert out == {made[name] for name in ("PublicRoutes", "EgressRoutesA", "EgressRoutesB")}


def test_nodes_are_reached_by_nobody(account: Account) -> None:
    group = account.outputs["Security"]["NodeSecurityGroup"]
    (found,) = boto3.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert found["IpPermissions"] == []


def test_both_buckets_encrypt_by_default(account: Account) -> None:
    s3 = boto3.client("s3")
    for name in ("LeadsBucket", "ExportsBucket"):
        rules = s3.get_bucket_encryption(Bucket=account.outputs["Storage"][name])["ServerSideEncryptionConfiguration"]
        assert rules["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def test_ecs_takes_the_task_definitions(account: Account) -> None:
    ecs = boto3.client("ecs")
    for family in ("control-plane", "egress", "node-n1", "node-n2"):
        task = ecs.describe_task_definition(taskDefinition=f"leadfleet-prod-{family}")["taskDefinition"]
        assert task["containerDefinitions"][0]["readonlyRootFilesystem"] is True


def test_the_scaler_finds_the_services_that_the_template_makes(account: Account) -> None:
    services = Services(boto3.client("ecs"), account.outputs["Cluster"]["Cluster"], NODES)
    assert set(services.all()) == set(NODES)
    services.start("n1")
    services.stop("n2")
    assert {name: service.desired for name, service in services.all().items()} == {"n1": 1, "n2": 0}


def test_the_balancer_forwards_what_has_the_header_and_refuses_the_rest(account: Account) -> None:
    elb = boto3.client("elbv2")
    (balancer,) = elb.describe_load_balancers()["LoadBalancers"]
    (listener,) = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    rules = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    actions = {rule["Priority"]: rule["Actions"][0]["Type"] for rule in rules}
    assert actions == {"1": "forward", "default": "fixed-response"}
