"""Why a stack does not run.

StackError
├── StateUnusable   the state directory cannot be written
├── StateInUse      another stack holds the state directory
├── PortTaken       somebody else listens where the API should
├── PortDenied      the API may not listen there
├── ChildFailed     a part ended before it was ready
└── NotReady        a part runs and does not answer in time
"""

from __future__ import annotations

from pathlib import Path

LOG_TAIL_LINES = 15  # a Python traceback with its message, or the last words of a server


class StackError(Exception):
    """Root of all errors of the embedded stack; the message is meant for the person at the terminal."""


class StateUnusable(StackError):
    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} cannot be used ({error.strerror}): set LEADFLEET_STATE to a folder of yours")


class StateInUse(StackError):
    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(
            f"another stack (process {holder}) uses {path}: stop it, or set LEADFLEET_STATE to another folder"
        )


class PortTaken(StackError):
    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} of 127.0.0.1 is taken by another program: free it or choose another port")


class PortDenied(StackError):
    def __init__(self, port: int, error: OSError) -> None:
        super().__init__(f"port {port} of 127.0.0.1 cannot be used ({error.strerror}): choose one from 1024 to 65535")


class ChildFailed(StackError):
    def __init__(self, name: str, status: int | None, log: Path) -> None:
        self.name, self.status = name, status
        ended = f"was ended by signal {-status}" if status and status < 0 else f"ended with status {status}"
        super().__init__(f"{name} {ended} before it was ready. {_last_words(log)}")


class NotReady(StackError):
    def __init__(self, what: str, timeout_s: float, log: Path) -> None:
        super().__init__(f"{what} was not ready within {timeout_s:g} s. {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:] if log.exists() else []
    return f"The end of {log}:\n" + "\n".join(f"    {line}" for line in lines) if lines else f"{log} is empty."
