"""What the console is served as, and that its files hold together: nothing is missing, unused, or from elsewhere."""

from __future__ import annotations

import re
import tomllib

import pytest
import setuptools
from quart import Quart

from control_plane.app import create_app
from control_plane.routes.console import ASSETS, FOLDER, PAGE, POLICY
from control_plane.settings import Settings
from tests.support import REPOSITORY

HOSTS_THAT_ARE_NOT_ASKED = {"www.w3.org", "example.com"}
"""The name of SVG's namespace, and a placeholder in a form."""


@pytest.fixture(scope="module")
def app() -> Quart:
    return create_app(Settings(), background=False)


def text(name: str) -> str:
    return ASSETS[name].body.decode()


def references(name: str) -> set[str]:
    """Files of the console that the one of this ``name`` asks for."""
    found = re.findall(r"""["'(]/console/([\w.-]+)["')]""", text(name))
    return {*found, *re.findall(r"""(?:from|import)\s*\(?["']\./([\w.-]+)["']""", text(name))}


async def test_the_root_leads_to_the_console(app: Quart) -> None:
    answer = await app.test_client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console")


async def test_files_are_served_as_what_they_are(app: Quart) -> None:
    client = app.test_client()
    expected = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
    assert {name.rpartition(".")[2] for name in ASSETS} == {"html", *expected}
    for name, asset in ASSETS.items():
        answer = await client.get("/console" if name == PAGE else f"/console/{name}")
        assert answer.status_code == 200
        assert await answer.get_data() == (FOLDER / name).read_bytes() == asset.body
        assert answer.content_type == f"{expected.get(name.rpartition('.')[2], 'text/html')}; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == POLICY


async def test_what_a_browser_has_is_not_sent_again(app: Quart) -> None:
    client = app.test_client()
    first = await client.get("/console/main.js")
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    again = await client.get("/console/main.js", headers={"If-None-Match": tag})
    assert (again.status_code, await again.get_data()) == (304, b"")
    assert (await client.get("/console/api.js", headers={"If-None-Match": tag})).status_code == 200


@pytest.mark.parametrize("name", ["index.html", "nothing.js", "..%2fapp.py", "%2e%2e/app.py", ".."])
async def test_nothing_else_is_served(app: Quart, name: str) -> None:
    answer = await app.test_client().get(f"/console/{name}")
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_the_policy_permits_our_own_files_only() -> None:
    directives = dict(part.strip().split(" ", 1) for part in POLICY.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == directives["style-src"] == directives["connect-src"] == "'self'"
    assert directives["trusted-types"] == directives["base-uri"] == directives["frame-ancestors"] == "'none'"
    assert "unsafe" not in POLICY
    assert set(" ".join(directives.values()).split()) <= {"'none'", "'self'", "'script'"}


def test_every_file_that_is_asked_for_exists_and_none_is_left_over() -> None:
    reached, ahead = set(), {PAGE}
    while ahead:
        name = ahead.pop()
        assert name in ASSETS, f"{name} is asked for and does not exist"
        reached.add(name)
        ahead |= references(name) - reached
    assert reached == set(ASSETS)


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_nothing_comes_from_another_host(name: str) -> None:
    hosts = set(re.findall(r"(?:https?:|wss?:|[\"'(])//([\w.-]+)", text(name)))
    assert hosts <= HOSTS_THAT_ARE_NOT_ASKED


def test_the_page_holds_no_script_and_no_style_of_its_own() -> None:
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|javascript:", text(PAGE))


@pytest.mark.parametrize("name", sorted(name for name in ASSETS if name.endswith(".js")))
def test_what_was_scraped_cannot_become_markup_and_keys_are_not_kept(name: str) -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function"
    assert not re.findall(rf"{sinks}|localStorage|sessionStorage|indexedDB", text(name))


def test_the_files_are_part_of_the_package() -> None:
    tables = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = setuptools.find_namespace_packages(str(REPOSITORY), include=tables["packages"]["find"]["include"])
    assert "control_plane.console" in found
    patterns = {pattern.removeprefix("*") for pattern in tables["package-data"]["*"]}
    assert {f".{name.rpartition('.')[2]}" for name in ASSETS} <= patterns
