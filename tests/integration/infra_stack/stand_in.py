"""Small programs in the places of the stack's parts: they speak only what the stack itself asks of those.

``api`` answers the readiness probe and says that as many nodes are UP as NODES_UP; ``node`` starts a child that
ignores SIGTERM, as a Chrome that hangs; ``s3 PORT`` answers, without moto's 2 s of imports; ``crash`` dies with a
message.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        authorised = self.headers["Authorization"] == f"Bearer {os.environ['LEADFLEET_BOOTSTRAP_KEY']}"
        nodes = [{"node": f"node-{index}", "state": "UP"} for index in range(int(os.environ["NODES_UP"]))]
        body = json.dumps({"nodes": nodes}).encode()
        self.send_response(200 if authorised else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


class S3(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def main(role: str, *arguments: str) -> None:
    if role == "crash":
        sys.exit("the configuration makes no sense")
    if role == "api":
        port = int(os.environ["LEADFLEET_BIND"].rpartition(":")[2])
        ThreadingHTTPServer(("127.0.0.1", port), Api).serve_forever()
    if role == "s3":
        ThreadingHTTPServer(("127.0.0.1", int(arguments[0])), S3).serve_forever()
    subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True)
    Path(os.environ["LEADFLEET_STATE"], "environment.json").write_text(json.dumps(dict(os.environ)))
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
