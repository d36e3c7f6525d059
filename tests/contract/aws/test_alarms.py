"""Alarms look at numbers that somebody publishes, and tell somebody."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

from infra.aws.functions.scaler import handler
from tests.contract.aws.template import PARTS, of_type, one


def alarms() -> dict[str, dict[str, Any]]:
    return {name: alarm.properties for (_, name), alarm in of_type("AWS::CloudWatch::Alarm").items()}


def ours() -> set[str]:
    """The numbers that the scaler publishes."""
    tree = ast.parse(Path(handler.__file__).read_text(encoding="utf-8"))
    assigned = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
    (numbers,) = [node.value for node in assigned if ast.unparse(node.targets[0]) == "numbers"]
    assert isinstance(numbers, ast.Dict)
    return {key.value for key in numbers.keys if isinstance(key, ast.Constant)}


def looked_at(alarm: dict[str, Any]) -> list[tuple[str, str]]:
    """``(namespace, metric)`` of each number that the alarm is made of."""
    if "MetricName" in alarm:
        return [(alarm["Namespace"], alarm["MetricName"])]
    stats = [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
    return [(metric["Namespace"], metric["MetricName"]) for metric in stats]


def test_every_number_of_ours_is_published() -> None:
    numbers = [metric for alarm in alarms().values() for space, metric in looked_at(alarm) if space == "Leadfleet"]
    assert len(ours()) == 11
    assert set(numbers) <= ours()


def watched_services() -> set[str]:
    """Services of which an alarm counts the running tasks."""
    return {
        dimension["Value"]
        for alarm in alarms().values()
        for each in alarm.get("Metrics", ())
        if each.get("MetricStat", {}).get("Metric", {}).get("MetricName") == "RunningTaskCount"
        for dimension in each["MetricStat"]["Metric"]["Dimensions"]
        if dimension["Name"] == "ServiceName"
    }


def test_every_service_has_an_alarm() -> None:
    """Nodes come and go: the scaler counts them, and says who did not come."""
    services = {(part, s.properties["ServiceName"]) for (part, _), s in of_type("AWS::ECS::Service").items()
                if part != "Nodes"}  # fmt: skip
    assert watched_services() == {name for _, name in services} == {"control-plane", "egress"}
    assert {"NodesMissing", "NodesGivenUp"} <= set(alarms())
    settings = one("Cluster", "Cluster")["ClusterSettings"]
    assert settings == [{"Name": "containerInsights", "Value": "enabled"}], "which counts the tasks"
    assert PARTS["Alarms"].given["Cluster"] == {"Fn::GetAtt": ["Cluster", "Outputs.Cluster"]}


def test_alarms_of_valkey_look_at_every_server_of_the_shard() -> None:
    """ElastiCache names the servers of a cluster by shard and number."""
    group = one("Valkey", "Valkey")
    servers = {
        f"${{ReplicationGroup}}-{shard:04}-{server:03}"
        for shard in range(1, group["NumNodeGroups"] + 1)
        for server in range(1, group["ReplicasPerNodeGroup"] + 2)
    }
    for metric in ("DatabaseMemoryUsagePercentage", "EngineCPUUtilization"):
        looked_at_servers = {
            alarm["Dimensions"][0]["Value"]["Fn::Sub"]
            for alarm in alarms().values()
            if alarm.get("MetricName") == metric
        }
        assert looked_at_servers == servers
    shown = set(
        re.findall(r'"(\$\{ReplicationGroup\}-[\d-]+)"', one("Dashboard", "Dashboard")["DashboardBody"]["Fn::Sub"])
    )
    assert shown == servers


def test_what_the_issue_asks_for_is_watched() -> None:
    assert {
        "ErrorRate", "BalancerErrors", "DispatchStalled", "WorkWaits", "DeadLetters", "NoNodes", "StoreMemory1",
        "StoreMemory2", "ScalerSilent", "NodesGivenUp", "NoEgress",
    } <= set(alarms())  # fmt: skip
    assert alarms()["ErrorRate"]["Threshold"] == 1


def test_every_alarm_tells_somebody_and_says_when_it_is_over() -> None:
    for name, alarm in alarms().items():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Topic"}], name
        assert alarm["AlarmDescription"], name


def test_expressions_name_the_numbers_they_are_made_of() -> None:
    words = {"IF", "FILL", "DIFF", "AND"}
    for name, alarm in alarms().items():
        ids = {each["Id"] for each in alarm.get("Metrics", ())}
        for each in alarm.get("Metrics", ()):
            used = set(re.findall(r"[A-Za-z]\w*", each.get("Expression", ""))) - words
            assert used <= ids, name
        if "Metrics" in alarm:
            assert [each["ReturnData"] for each in alarm["Metrics"]].count(True) == 1, name


def test_silence_is_an_alarm_where_it_means_something() -> None:
    breaching = {name for name, alarm in alarms().items() if alarm["TreatMissingData"] == "breaching"}
    assert breaching == {"NoReplica", "NoEgress", "ScalerSilent"}


def test_the_dashboard_is_json_and_shows_every_number_of_ours() -> None:
    body = re.sub(r"\$\{[\w:]+\}", "x", one("Dashboard", "Dashboard")["DashboardBody"]["Fn::Sub"])
    widgets = json.loads(body)["widgets"]
    shown = {m[1] for widget in widgets for m in widget["properties"]["metrics"] if m[0] == "Leadfleet"}
    assert ours() - shown == {"DispatchStalled"}, "which has an alarm, and is 0 or 1"
    places = [(widget["x"], widget["y"]) for widget in widgets]
    assert len(set(places)) == len(places)
