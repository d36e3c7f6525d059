"""Secrets by reference, and rights no wider than what the code calls."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from control_plane.keyring import SCALER_SCOPES
from control_plane.store import objects
from infra.aws.functions.scaler import control_plane as scaler_client
from infra.aws.functions.scaler import handler as scaler_handler
from infra.aws.functions.scaler import services as scaler_services
from tests.contract.aws.template import (
    PARTS,
    RESOURCES,
    container,
    listed,
    of_type,
    one,
    secrets,
    statements,
    tasks,
    variables,
)


def wide(resource: Any) -> bool:
    return bool(resource == "*" or (isinstance(resource, str) and resource.endswith(":*")))


# what AWS gives on everything or not at all
NO_RESOURCE_LEVEL = {"ecr:GetAuthorizationToken"}


def test_no_right_is_given_on_everything() -> None:
    given = list(statements())
    assert len(given) > 15
    for whose, statement in given:
        assert statement["Effect"] == "Allow"
        actions = set(listed(statement["Action"]))
        assert [action for action in actions if "*" in action] == [], whose
        if any(wide(resource) for resource in listed(statement["Resource"])):
            assert actions <= NO_RESOURCE_LEVEL, whose
    on_everything = {s["Action"] for _, s in given if any(wide(resource) for resource in listed(s["Resource"]))}
    assert on_everything == NO_RESOURCE_LEVEL


def test_every_right_is_written_here_and_in_no_policy_of_awss() -> None:
    """One of AWS's is for everybody's repositories and logs, and AWS changes it. SAM gives one to a function without
    a role."""
    for key, resource in RESOURCES.items():
        assert "ManagedPolicyArns" not in resource.properties, key
        if resource.kind == "AWS::Serverless::Function":
            assert "Policies" not in resource.properties
            (part, role) = key[0], resource.properties["Role"]["Fn::GetAtt"][0]
            assert RESOURCES[part, role].kind == "AWS::IAM::Role"


@pytest.mark.parametrize("name", sorted(tasks()))
def test_what_is_secret_is_given_by_reference(name: str) -> None:
    secret = re.compile(r"PASSWORD|SECRET|KEY|TOKEN|_URL$")
    assert [variable for variable in variables(tasks()[name]) if secret.search(variable)] == []


def test_every_secret_parameter_comes_from_a_secret() -> None:
    """What a task reads as ``!Ref X`` is handed in by the root, from the output of a part that holds such a secret."""
    made = set(of_type("AWS::SecretsManager::Secret"))
    for name, task in tasks().items():
        part = "Nodes" if name.startswith("Task") else name
        for variable, source in secrets(task).items():
            if "Ref" not in source:
                assert ":secret:leadfleet/" in source["Fn::Sub"], variable
                continue
            holder, output = PARTS[part].given[source["Ref"]]["Fn::GetAtt"]
            value = PARTS[holder].tree["Outputs"][output.removeprefix("Outputs.")]["Value"]
            assert (holder, value["Ref"]) in made, variable


def test_no_secret_has_its_value_in_the_template() -> None:
    for key, secret in of_type("AWS::SecretsManager::Secret").items():
        value = secret.properties.get("SecretString", {}).get("Fn::Sub", "")
        assert "GenerateSecretString" in secret.properties or "{{resolve:secretsmanager:" in value, key


def test_passwords_fit_into_urls() -> None:
    for key, secret in of_type("AWS::SecretsManager::Secret").items():
        if "GenerateSecretString" in secret.properties:
            assert secret.properties["GenerateSecretString"]["ExcludePunctuation"] is True, key


def execution(part: str, action: str) -> list[Any]:
    """The resources on which the part's execution role may do it."""
    (policy,) = one(part, "ExecutionRole")["Policies"]
    found = [s for s in policy["PolicyDocument"]["Statement"] if action in listed(s["Action"])]
    return [resource for statement in found for resource in listed(statement["Resource"])]


EXECUTION = pytest.mark.parametrize("part", ["ControlPlane", "Egress", "Nodes"])


@EXECUTION
def test_an_execution_role_reads_exactly_the_secrets_of_its_tasks(part: str) -> None:
    given = {str(resource) for resource in execution(part, "secretsmanager:GetSecretValue")}
    needed = {
        re.sub(r"/node/\w+", "/node/*", str(source))
        for name, task in tasks().items()
        if (name.startswith("Task") if part == "Nodes" else name == part)
        for source in secrets(task).values()
    }
    assert given == needed


@EXECUTION
def test_an_execution_role_pulls_the_image_of_its_tasks_and_writes_their_log(part: str) -> None:
    for action in ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"):
        assert execution(part, action) == [{"Ref": "Repository"}]
    image = PARTS[part].given["Image"]["Ref"].removesuffix("Image")
    assert PARTS[part].given["Repository"] == {"Fn::GetAtt": ["Cluster", f"Outputs.{image}Repository"]}
    assert PARTS["Cluster"].tree["Outputs"][f"{image}Repository"]["Value"] == repository(f"{image}Image")
    assert execution(part, "logs:CreateLogStream") == execution(part, "logs:PutLogEvents") == [
        {"Fn::GetAtt": ["Logs", "Arn"]}
    ]  # fmt: skip


def repository(parameter: str) -> dict[str, Any]:
    """The ARN of the repository that an image comes from."""
    behind_registry = {"Fn::Select": [1, {"Fn::Split": [".amazonaws.com/", {"Ref": parameter}]}]}
    arn = "arn:${AWS::Partition}:ecr:${AWS::Region}:${AWS::AccountId}:repository/${Name}"
    return {"Fn::Sub": [arn, {"Name": {"Fn::Select": [0, {"Fn::Split": ["@", behind_registry]}]}}]}


@pytest.mark.parametrize(
    ("image", "accepted"),
    [
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/leadfleet/node@sha256:" + "a" * 64, True),
        ("123456789012.dkr.ecr.eu-central-1.amazonaws.com/leadfleet/node:latest", False),
        ("docker.io/library/node@sha256:" + "a" * 64, False),
    ],
)
def test_an_image_is_named_by_digest_in_a_registry_of_awss(image: str, accepted: bool) -> None:
    """The rights to pull it are made from its name, and a tag may be another image tomorrow."""
    root = PARTS["(root)"].tree["Parameters"]
    for parameter in ("ControlPlaneImage", "NodeImage", "EgressImage"):
        assert bool(re.fullmatch(root[parameter]["AllowedPattern"], image)) is accepted
    if accepted:
        assert image.partition(".amazonaws.com/")[2].partition("@")[0] == "leadfleet/node"


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
    given = {action for whose, s in statements() if whose == "ControlPlane.Role" for action in listed(s["Action"])}
    assert given == set(rights.values())


def test_the_scaler_may_do_what_it_calls_and_touch_nodes_alone() -> None:
    mine = [statement for whose, statement in statements() if whose == "Scaler.Role"]
    by_service = {listed(statement["Action"])[0].split(":")[0]: statement for statement in mine}
    assert len(by_service) == len(mine) == 3
    assert set(by_service["ecs"]["Action"]) == calls(scaler_services, "ecs", "_ecs")
    assert by_service["ecs"]["Resource"]["Fn::Sub"].endswith(f":service/${{Cluster}}/{scaler_services.PREFIX}*")
    for service in (r for (part, _), r in of_type("AWS::ECS::Service").items() if part == "Nodes"):
        assert service.properties["ServiceName"]["Fn::Sub"].startswith(scaler_services.PREFIX)
    assert set(by_service["secretsmanager"]["Action"]) == calls(scaler_handler, "secretsmanager", "secrets")
    assert by_service["secretsmanager"]["Resource"] == {"Ref": "ScalerKey"}
    assert by_service["logs"]["Resource"] == {"Fn::GetAtt": ["Logs", "Arn"]}
    assert one("Scaler", "Scaler")["LoggingConfig"] == {"LogGroup": {"Ref": "Logs"}}


def calls(module: Any, service: str, client: str) -> set[str]:
    """The rights that a module's calls of a boto3 client need."""
    source = Path(module.__file__).read_text(encoding="utf-8")
    names = re.findall(rf"(?<!\w){client}\.(\w+)\(", source)
    return {f"{service}:" + "".join(map(str.title, name.split("_"))) for name in names}


def test_the_scalers_key_opens_what_the_scaler_asks() -> None:
    said = str(scaler_client.ControlPlane.__doc__)
    assert all(scope in said for scope in SCALER_SCOPES)
    description = one("Identities", "ScalerKey")["Description"]
    assert all(scope in description for scope in SCALER_SCOPES)


def test_nobody_may_query_the_leads_of_all_tenants_unless_an_operator_chose_so() -> None:
    assert RESOURCES["Storage", "LeadsReaders"].body["Condition"] == "Read"
    root = PARTS["(root)"].tree
    assert root["Parameters"]["AthenaReaders"]["Default"] == "no"
    assert root["Outputs"]["LeadsReaders"]["Condition"] == "Read"


def test_whoever_queries_leads_reads_and_does_not_write_them() -> None:
    for whose, statement in statements():
        if whose != "Storage.LeadsReaders":
            continue
        writes = [action for action in listed(statement["Action"]) if "Put" in action or "Delete" in action]
        if writes:
            assert all("LeadsBucket" not in str(resource) for resource in listed(statement["Resource"]))


def test_images_are_parameters() -> None:
    for name, task in tasks().items():
        assert container(task)["Image"] == {"Ref": "Image"}, name
