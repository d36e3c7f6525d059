"""``python3 -m infra.containers.compare IMAGE OTHER``: what two builds of an image differ in, file by file.

Times are left aside: they are those of the build. Exit status 1 when anything else differs.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
from dataclasses import dataclass

from infra.containers.project import docker_output


@dataclass(frozen=True, slots=True)
class Entry:
    """What an image says of a path. ``content`` is a SHA-256 of a file's bytes, the target of a link, or empty."""

    kind: bytes
    mode: int
    owner: tuple[int, int]
    content: str


def entries(image: str) -> dict[str, Entry]:
    """Everything in an image, by path."""
    container = docker_output("create", image).strip()
    try:
        with subprocess.Popen(["docker", "export", container], stdout=subprocess.PIPE) as export:
            assert export.stdout is not None
            with tarfile.open(fileobj=export.stdout, mode="r|") as archive:
                return {member.name: _entry(archive, member) for member in archive}
    finally:
        docker_output("rm", "--volumes", container)


def differences(one: dict[str, Entry], other: dict[str, Entry]) -> list[str]:
    """A line for each path that is not the same in both."""
    found = []
    for path in sorted(one.keys() | other.keys()):
        here, there = one.get(path), other.get(path)
        if here is None or there is None:
            found.append(f"{path}: only in {'the second' if here is None else 'the first'}")
        elif here != there:
            found.append(f"{path}: {', '.join(_unlike(here, there))}")
    return found


def _unlike(here: Entry, there: Entry) -> list[str]:
    return [name for name in ("kind", "mode", "owner", "content") if getattr(here, name) != getattr(there, name)]


def _entry(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    content = member.linkname
    if member.isreg() and (file := archive.extractfile(member)) is not None:
        content = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    return Entry(member.type, member.mode, (member.uid, member.gid), content)


def main() -> int:
    first, second = (entries(image) for image in sys.argv[1:3])
    found = differences(first, second)
    print("\n".join([*found, f"{len(first)} paths, {len(found)} differ"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
