"""``python -m infra.stack``: the embedded stack without the rest of the command line."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from infra.stack.options import DEFAULT_HTTP_PORT, Options
from infra.stack.up import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.stack", description="Run Leadfleet on this machine.")
    parser.add_argument("--state", type=Path, default=Options.default_state(), help="where everything is kept")
    parser.add_argument("--port", type=int, default=DEFAULT_HTTP_PORT, help="of the API (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=1, help="of the control plane")
    parser.add_argument("--nodes", type=int, default=1, help="browser nodes")
    parser.add_argument("--slots", type=int, default=2, help="Chromes a node")
    parser.add_argument("--town", action="store_true", help="serve the sample town as well")
    chosen = parser.parse_args()
    return run(
        Options(
            state=chosen.state,
            http_port=chosen.port,
            replicas=chosen.replicas,
            nodes=chosen.nodes,
            slots=chosen.slots,
            town=chosen.town,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
