"""Policy of the edge: every route says who may call it and how often, and is described; settings and
metrics are documented."""

from __future__ import annotations

import re

import pytest
from quart import Quart

from control_plane import telemetry
from control_plane.app import create_app
from control_plane.auth import ANY, PUBLIC, Access
from control_plane.keyring import ALL_SCOPES
from control_plane.openapi import document, paths_of
from control_plane.rates import LIMITS
from control_plane.settings import Settings
from tests.support import REPOSITORY

REFERENCE = REPOSITORY / "docs" / "reference.md"

PUBLIC_PATHS = {
    "/",
    "/api/health",
    "/api/metrics",
    "/auth/link/{secret}",
    "/console",
    "/console/{name}",
    "/docs",
    "/health",
    "/health/live",
    "/health/ready",
    "/metrics",
    "/openapi.json",
}


@pytest.fixture(scope="module")
def app() -> Quart:
    return create_app(Settings(), background=False)


def test_every_route_declares_its_scope_and_rate(app: Quart) -> None:
    rules = list(app.url_map.iter_rules())
    assert len(rules) > 30
    for rule in rules:
        policy = getattr(app.view_functions[rule.endpoint], "access", None)
        assert isinstance(policy, Access), f"{rule.rule} has no @access mark"
        assert policy.scope in ALL_SCOPES | {PUBLIC, ANY}, rule.rule
        assert policy.rate in LIMITS, rule.rule


def test_only_the_listed_routes_are_public(app: Quart) -> None:
    public = {
        path
        for rule in app.url_map.iter_rules()
        for path in paths_of(rule)
        if app.view_functions[rule.endpoint].access.scope == PUBLIC  # type: ignore[attr-defined]
    }
    assert public == PUBLIC_PATHS


def test_nothing_that_changes_state_takes_a_stream_token_or_a_reading_scope(app: Quart) -> None:
    for rule in app.url_map.iter_rules():
        policy: Access = app.view_functions[rule.endpoint].access  # type: ignore[attr-defined]
        if not (rule.methods or set()) & {"POST", "PUT", "PATCH", "DELETE"}:
            continue
        queries_by_post = rule.rule.startswith("/api/filters/")
        assert policy.token is None, rule.rule
        assert queries_by_post or policy.scope == ANY or policy.scope.endswith(":write"), rule.rule


def test_every_route_is_described(app: Quart) -> None:
    described = set(document(app)["paths"])
    served = {path for rule in app.url_map.iter_rules() if not rule.websocket for path in paths_of(rule)}
    assert served == described


def test_no_two_described_paths_are_one_to_a_client(app: Quart) -> None:
    templates = [re.sub(r"{.*?}", "{}", path) for path in document(app)["paths"]]
    assert len(set(templates)) == len(templates)
    assert {"/api/export/csv", "/api/export/parquet", "/api/export/{export_id}"} <= set(document(app)["paths"])


def test_what_is_not_a_plain_200_is_described_as_what_it_is(app: Quart) -> None:
    paths = document(app)["paths"]
    assert "201" in paths["/api/auth/keys"]["post"]["responses"]
    assert {"200", "202", "302"} <= set(paths["/api/export/csv"]["get"]["responses"])
    assert "303" in paths["/auth/link/{secret}"]["get"]["responses"]
    assert paths["/api/auth/stream-token"]["post"]["requestBody"]["required"] is False
    assert paths["/api/scraper/start"]["post"]["requestBody"]["required"] is True
    lists = paths["/api/filters/platforms"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert (lists["type"], lists["items"]["type"]) == ("array", "string")


def test_leads_are_described_where_they_are_answered(app: Quart) -> None:
    schemas = document(app)["components"]["schemas"]
    ref = {"$ref": "#/components/schemas/Lead"}
    assert schemas["LeadPage"]["properties"]["items"]["items"] == ref
    assert schemas["LeadDetail"]["properties"]["lead"] == ref
    assert {"score_reasons", "enrichment"} <= schemas["Lead"]["properties"].keys()
    assert {"category", "summary", "fit", "source"} <= schemas["Enrichment"]["properties"].keys()


def test_every_setting_is_documented() -> None:
    text = REFERENCE.read_text()
    missing = [name for name in Settings.model_fields if f"`LEADFLEET_{name.upper()}`" not in text]
    assert not missing


def test_every_metric_is_documented() -> None:
    text = REFERENCE.read_text()
    names = {family.name for family in telemetry.REGISTRY.collect()}
    for table in (telemetry.FLEET_STATES, telemetry.FLEET_GAUGES, telemetry.FLEET_TOTALS):
        names |= {entry[0] for entry in table.values()}
    names |= {"leadfleet_tasks_ended", "leadfleet_errors"}
    missing = sorted(name for name in names if f"`{name}" not in text)
    assert not missing
