"""The secrets of compose.yaml: complete, private, made once."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.bootstrap.console import SetupError
from infra.containers import project, secrets
from tests.support import REPOSITORY


def texts(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_it_makes_every_secret_that_compose_asks_for(tmp_path: Path) -> None:
    compose = (REPOSITORY / "infra" / "compose.yaml").read_text(encoding="utf-8")
    asked = set(re.findall(r"file: \"\$\{SECRETS:-\./secrets\}/([\w.]+)\"", compose))
    assert secrets.prepare(tmp_path)
    made = texts(tmp_path)
    assert set(made) == asked
    assert all(len(made[name]) >= 32 for name in asked)
    assert secrets.FOLDER == REPOSITORY / "infra" / "secrets"


def test_the_users_know_the_passwords_of_the_addresses_by_their_hashes(tmp_path: Path) -> None:
    secrets.prepare(tmp_path)
    made = texts(tmp_path)
    for user, file in (("control", "redis_url"), ("join", "join_url")):
        address = urlsplit(made[file])
        assert address.username == user
        digest = hashlib.sha256((address.password or "").encode()).hexdigest()
        assert f"user {user} on #{digest} " in made["users.acl"]
        assert address.password not in made["users.acl"]
    assert "user default off" in made["users.acl"]
    assert "user health on nopass resetkeys resetchannels -@all +ping\n" in made["users.acl"]


def test_others_on_the_machine_cannot_read_them(tmp_path: Path) -> None:
    """The folder keeps them out: the users of containers, who read the files, are nobody on this machine."""
    folder = tmp_path / "secrets"
    secrets.prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    secrets.prepare(tmp_path)
    before = texts(tmp_path)
    assert not secrets.prepare(tmp_path)
    assert before == texts(tmp_path)


@pytest.mark.parametrize("left", ["", "\n", None])
def test_secrets_that_are_not_whole_are_told_with_the_way_out(tmp_path: Path, left: str | None) -> None:
    secrets.prepare(tmp_path)
    (tmp_path / "join_url").unlink()
    if left is not None:
        (tmp_path / "join_url").write_text(left)
    with pytest.raises(SetupError, match=r"join_url is (empty|not there): `make stack-down`, remove"):
        secrets.prepare(tmp_path)


def test_containers_may_read_them_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        secrets.prepare(tmp_path / "secrets")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "secrets").iterdir()} == {0o644}


def test_the_base_images_are_those_that_are_named() -> None:
    """By compose.yaml and the Dockerfiles, and made by base_images.sh where no registry answers."""
    compose = (REPOSITORY / "infra" / "compose.yaml").read_text(encoding="utf-8")
    named = {name for name in re.findall(r"image: (\S+)", compose) if not name.startswith("leadfleet/")}
    for dockerfile in (REPOSITORY / "Dockerfile.node", *(REPOSITORY / "infra").glob("Dockerfile.*")):
        named |= set(re.findall(r"^ARG DEBIAN=(\S+)", dockerfile.read_text(encoding="utf-8"), re.MULTILINE))
    made = re.findall(r"^[A-Z]+=(\S+:\S+)$", (REPOSITORY / "infra/base_images.sh").read_text(), re.MULTILINE)
    assert named == set(made) == set(project.BASE_IMAGES)


def test_git_does_not_see_them() -> None:
    ignored = (REPOSITORY / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/infra/.env", "/infra/secrets/"} <= set(ignored)
