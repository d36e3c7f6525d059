"""The process that extraction runs in: a page in on stdin, its leads out on stdout, until stdin ends.

A pattern that runs away on a hostile page cannot be interrupted from within; the alarm ends the process.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import BinaryIO

from browser_node.scraping.wire import LENGTH, body_length, decode, encode
from leads.extract import extract

ALARM_S = 30
"""Past the agent's own deadline for a page (``extractor.TIMEOUT``): for when the agent is gone."""


def main() -> None:
    """Serve until the agent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the agent, which then closes the pipe
    # whatever a library prints must not get between two frames
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, answers)


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer every ``{"html", "url"}`` with ``{"leads": […]}`` or ``{"error": "…"}``."""
    while len(head := questions.read(LENGTH.size)) == LENGTH.size:
        question = decode(questions.read(body_length(head)))
        signal.alarm(ALARM_S)
        answers.write(encode(_answer(question)))
        answers.flush()
        signal.alarm(0)


def _answer(question: dict[str, str]) -> dict[str, object]:
    try:
        leads = extract(question["html"], question["url"])
        return {"leads": [lead.model_dump(mode="json", exclude_none=True) for lead in leads]}
    except Exception as exc:  # a page that breaks an extractor costs its own leads, not the worker
        return {"error": f"{type(exc).__name__}: {exc}"[:300]}


if __name__ == "__main__":
    main()
