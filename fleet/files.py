"""Files that are there whole or not at all, whatever ends their writer: secrets that are made once and kept."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(file: Path, text: str, mode: int = 0o600) -> None:
    """Put ``text`` into ``file``, with the rights ``mode`` from its first moment. Raises OSError.

    It takes its name once its bytes are on the disk, and the name is on the disk when this returns: a machine that
    stops at any moment leaves what was there before, or all of ``text``. One writer at a time.
    """
    temporary = file.with_name(file.name + ".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as output:  # noqa: PTH123
        os.fchmod(output.fileno(), mode)  # whatever the umask leaves of it
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    temporary.replace(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
