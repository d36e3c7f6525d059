"""Settings whose values lie in files: ``LEADFLEET_<NAME>_FILE`` is where ``LEADFLEET_<NAME>`` is to be read from.

For secrets: an environment is shown by ``docker inspect`` and inherited by every child, a mounted file is neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fleet.errors import FleetError

PREFIX = "LEADFLEET_"
SUFFIX = "_FILE"


class BadSettingFile(FleetError):
    """A setting's file that cannot be used. Names the variable and the file, never what is in it."""

    def __init__(self, variable: str, why: str) -> None:
        super().__init__(f"{variable}: {why}")


def from_files(environment: Mapping[str, str]) -> dict[str, str]:
    """``LEADFLEET_<NAME>`` → value, for every ``LEADFLEET_<NAME>_FILE`` of ``environment`` that is not empty.

    One newline at the end belongs to the file, not to the value. Raises BadSettingFile, also when the setting is
    given both ways: whoever looks at one of them would be wrong about the other.
    """
    found = {}
    for variable, path in environment.items():
        if not variable.startswith(PREFIX) or not variable.endswith(SUFFIX) or not path:
            continue
        name = variable.removesuffix(SUFFIX)
        if environment.get(name):
            raise BadSettingFile(variable, f"{name} is set too: give the setting in one way")
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise BadSettingFile(variable, f"{path} cannot be read: {why}") from exc
        found[name] = text.removesuffix("\n")
        if not found[name].strip():
            raise BadSettingFile(variable, f"{path} is empty: write the value into it, or leave {variable} out")
    return found
