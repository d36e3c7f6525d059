"""The scaler's code as Lambda has it: the folder `functions` alone, with the standard library and boto3."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from infra.aws.functions.scaler import handler
from infra.aws.parts import parts

FOLDER = Path(handler.__file__).parents[1]


def test_it_imports_nothing_that_lambda_does_not_have() -> None:
    allowed = sys.stdlib_module_names | {"boto3"}
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names.append(node.module or "")
            assert [name for name in names if name.split(".")[0] not in allowed] == [], path.name


def test_the_template_names_the_handler_that_is_there() -> None:
    scaler = next(r for part in parts() for r in part.resources() if r.kind == "AWS::Serverless::Function").properties
    module, _, function = scaler["Handler"].rpartition(".")
    script = f"import {module} as m; print(callable(m.{function}))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=FOLDER.parent / scaler["CodeUri"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.stdout.strip(), done.stderr) == ("True", "")


def test_the_function_is_given_every_variable_that_it_reads() -> None:
    scaler = next(r for part in parts() for r in part.resources() if r.kind == "AWS::Serverless::Function").properties
    source = Path(handler.__file__).read_text(encoding="utf-8")
    read = {
        node.slice.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ"
        and isinstance(node.slice, ast.Constant)
    }  # fmt: skip
    assert read == set(scaler["Environment"]["Variables"])


def test_a_line_of_numbers_is_what_cloudwatch_reads() -> None:
    line = handler.metrics("prod", {"Nodes": 2}, now=1.5)
    (declared,) = line["_aws"]["CloudWatchMetrics"]
    assert line["_aws"]["Timestamp"] == 1500
    assert (declared["Namespace"], declared["Dimensions"]) == ("Leadfleet", [["Fleet"]])
    assert (line["Fleet"], line["Nodes"]) == ("prod", 2)
