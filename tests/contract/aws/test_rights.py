"""Secrets by reference, and rights no wider than what the code calls."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from control_plane.keyring import SCALER_SCOPES
from control_plane.store import objects
from infra.aws.functions.scaler import control_plane as scaler_client
from infra.aws.functions.scaler import services as scaler_services
from tests.contract.aws.template import PARTS, container, listed, of_type, one, secrets, statements, tasks, variables


def wide(resource: Any) -> bool:
    return bool(resource == "*" or (isinstance(resource, str) and resource.endswith(":*")))


def test_no_right_is_given_on_everything() -> None:
    given = list(statements())
    assert len(given) > 8
    for whose, statement in given:
        assert statement["Effect"] == "Allow"
        assert [action for action in listed(statement["Action"]) if "*" in action] == [], whose
        assert [resource for resource in listed(statement["Resource"]) if wide(resource)] == [], whose


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


@pytest.mark.parametrize("part", ["ControlPlane", "Egress", "Nodes"])
def test_an_execution_role_reads_exactly_the_secrets_of_its_tasks(part: str) -> None:
    (policy,) = one(part, "ExecutionRole")["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "secretsmanager:GetSecretValue"
    given = {str(resource) for resource in listed(statement["Resource"])}
    needed = {
        re.sub(r"/node/\w+", "/node/*", str(source))
        for name, task in tasks().items()
        if (name.startswith("Task") if part == "Nodes" else name == part)
        for source in secrets(task).values()
    }
    assert given == needed


def test_execution_roles_have_ecss_own_policy_and_no_more() -> None:
    for (_, name), role in of_type("AWS::IAM::Role").items():
        managed = role.properties.get("ManagedPolicyArns", [])
        own = "service-role/AmazonECSTaskExecutionRolePolicy"
        assert [arn for arn in managed if not arn["Fn::Sub"].endswith(own)] == [], name
        assert bool(managed) == (name == "ExecutionRole"), name


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
    source = Path(scaler_services.__file__).read_text(encoding="utf-8")
    called = {"ecs:" + "".join(map(str.title, name.split("_"))) for name in re.findall(r"_ecs\.(\w+)\(", source)}
    mine = [statement for whose, statement in statements() if whose == "Scaler.Scaler"]
    ecs = [statement for statement in mine if listed(statement["Action"])[0].startswith("ecs:")]
    assert {action for statement in ecs for action in statement["Action"]} == called
    (on,) = [statement["Resource"]["Fn::Sub"] for statement in ecs]
    assert on.endswith(f":service/${{Cluster}}/{scaler_services.PREFIX}*")
    for service in (r for (part, _), r in of_type("AWS::ECS::Service").items() if part == "Nodes"):
        assert service.properties["ServiceName"]["Fn::Sub"].startswith(scaler_services.PREFIX)
    assert [s["Resource"] for s in mine if s not in ecs] == [{"Ref": "ScalerKey"}]


def test_the_scalers_key_opens_what_the_scaler_asks() -> None:
    said = str(scaler_client.ControlPlane.__doc__)
    assert all(scope in said for scope in SCALER_SCOPES)
    description = one("Identities", "ScalerKey")["Description"]
    assert all(scope in description for scope in SCALER_SCOPES)


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
