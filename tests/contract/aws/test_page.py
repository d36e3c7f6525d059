"""What docs/aws.md has people type is there: parameters, outputs, secrets, services, commands and their options."""

from __future__ import annotations

import re
from functools import cache

import botocore.session
import click
import pytest
from botocore import xform_name

from control_plane.cli import main
from tests.contract.aws.template import PARTS, of_type
from tests.support import REPOSITORY

PAGES = ("docs/aws.md", "docs/deploy.md", "docs/scale.md")

ROOT = PARTS["(root)"].tree

OF_THE_CLI_ITSELF = {"query", "output", "region"}

NOT_OF_THE_API = {("ecr", "get-login-password"), ("ecs", "wait"), ("s3", "sync")}
"""Commands that the AWS CLI makes of others."""


@cache
def page(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[str]:
    """Indented commands, lines that go on joined."""
    code = "\n".join(re.findall(r"^ {4,}(.*)$", page(name), re.MULTILINE))
    return re.sub(r"\\\n\s*", "", code).splitlines()


def typed(name: str) -> list[str]:
    """All that stands in code, inside lines and between them."""
    return [*blocks(name), *re.findall(r"`([^`\n]+)`", page(name))]


def aws_commands() -> set[tuple[str, str, frozenset[str]]]:
    """``(service, command, options)``."""
    found = set()
    for name in PAGES:
        for line in typed(name):
            for service, command, rest in re.findall(r"(?<![\w-])aws ([a-z0-9]+) ([a-z-]+)([^|;)]*)", line):
                options = re.findall(r"(?<=\s)--([a-z-]+)", rest)
                found.add((service, command, frozenset(options) - OF_THE_CLI_ITSELF))
    return found


def test_parameters_that_are_given_exist() -> None:
    given = {
        parameter
        for name in PAGES
        for text in typed(name)
        for parameter in re.findall(r"(?:^|\s)([A-Z][a-z]\w+)=", text)
    } - {"Name", "Values", "Key", "Value"}  # of filters
    assert {"Fleet", "LeastReplicas", "SnapshotToRestore", "AthenaReaders"} <= given
    assert given - set(ROOT["Parameters"]) == set()


def test_the_first_deploy_gives_every_parameter_that_has_no_default() -> None:
    (command,) = [line for line in blocks("docs/aws.md") if line.startswith("sam deploy")]
    given = set(re.findall(r"(\w+)=", command.partition("--parameter-overrides")[2]))
    needed = {name for name, parameter in ROOT["Parameters"].items() if "Default" not in parameter}
    assert needed <= given
    assert {"--language-extensions", "CAPABILITY_AUTO_EXPAND", "CAPABILITY_NAMED_IAM"} <= set(command.split())


def names(kind: str, of: str) -> set[str]:
    """What resources of a type are called in the fleet of the page, ``prod``."""
    found = (resource.properties[of] for resource in of_type(kind).values())
    return {name["Fn::Sub"].replace("${Fleet}", "prod") if isinstance(name, dict) else name for name in found}


def test_what_is_called_by_a_name_of_ours_is_called_so() -> None:
    text = page("docs/aws.md")
    secrets = set(re.findall(r"(?:held|put|secret) ([A-Z]\w+)", text))
    assert {"ScalerKey", "ControlUrl"} <= secrets <= {name for (_, name) in of_type("AWS::SecretsManager::Secret")}
    services = set(re.findall(r"(?:renew|--services) ([a-z][\w-]+)", text))
    assert {"control-plane", "node-n1"} <= services <= names("AWS::ECS::Service", "ServiceName")
    assert set(re.findall(r"--cluster ([\w-]+)", text)) == names("AWS::ECS::Cluster", "ClusterName")
    users = set(re.findall(r"--user-id ([\w-]+)", text)) | set(re.findall(r"with `([\w-]+)` and", text))
    assert {"prod-control", "prod-join", "leadfleet-node-n1"} == users
    assert users <= names("AWS::ElastiCache::User", "UserId")
    outputs = set(re.findall(r"outputs? `(\w+)`", text))
    assert {"DistributionName", "BootstrapKeySecret"} <= outputs <= set(ROOT["Outputs"])


def test_every_part_is_in_the_table() -> None:
    rows = re.findall(r"^\| (`[\w`, -]+`) \|", page("docs/aws.md"), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert {part.path.stem for name, part in PARTS.items() if name != "(root)"} <= listed


@pytest.mark.parametrize(("service", "command", "options"), sorted(aws_commands(), key=str))
def test_the_aws_cli_has_the_command_and_its_options(service: str, command: str, options: frozenset[str]) -> None:
    if (service, command) in NOT_OF_THE_API:
        return
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(operation, "-"): operation for operation in model.operation_names}
    assert command in operations, f"aws {service} has no {command}"
    shape = model.operation_model(operations[command]).input_shape
    known = {xform_name(member, "-") for member in shape.members} if shape else set()
    assert {option.removeprefix("no-") for option in options} - known == set()


def test_there_are_commands_to_be_checked() -> None:
    """Would these tests see one that is wrong?"""
    assert ("ecs", "update-service", frozenset({"cluster", "service", "force-new-deployment"})) in aws_commands()
    assert len(aws_commands()) > 12


def test_our_own_commands_exist() -> None:
    used = {
        tuple(words.split())
        for name in PAGES
        for text in typed(name)
        for words in re.findall(r"(?:^|[\s;])leadfleet ((?:[a-z]+(?: |$)){1,2})", text)
    }
    assert ("keys", "revoke") in used
    for words in used:
        command: click.Command = main
        for word in words:
            if isinstance(command, click.Group):
                assert word in command.commands, f"leadfleet {' '.join(words)}"
                command = command.commands[word]
