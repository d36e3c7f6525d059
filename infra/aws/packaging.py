"""Pack the template as ``sam deploy`` would, for an S3 of moto's: ``python -m infra.aws.packaging SAM``.

SAM expands loops by itself, differently from CloudFormation, and says so when it packs and not when it validates.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
from moto.server import ThreadedMotoServer

from infra.aws.parts import LOOP, ROOT, parts

BUCKET = "packed"

NOBODY = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}
"""Whoever asks moto; no call leaves this machine."""


def packed(sam: Path) -> Counter[str]:
    """How many objects there are of each kind, by the end of their names, and how many hold a loop still.

    Raises RuntimeError with what SAM said.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            region_name=NOBODY["AWS_DEFAULT_REGION"],
            aws_access_key_id=NOBODY["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=NOBODY["AWS_SECRET_ACCESS_KEY"],
        )
        s3.create_bucket(Bucket=BUCKET)
        with TemporaryDirectory() as folder:
            _run(sam, f"http://{host}:{port}", Path(folder) / "packaged.yaml")
        kinds: Counter[str] = Counter()
        for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", ()):
            kinds[each["Key"].rpartition(".")[2]] += 1
            kinds["loops"] += LOOP.encode() in s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read()
        return kinds
    finally:
        server.stop()


def _run(sam: Path, endpoint: str, output: Path) -> None:
    done = subprocess.run(
        [sam, "package", "--language-extensions", "--template", ROOT, "--s3-bucket", BUCKET,
         "--output-template-file", output],
        env={**os.environ, **NOBODY, "AWS_ENDPOINT_URL": endpoint},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{sam} package ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def main() -> int:
    kinds = packed(Path(sys.argv[1]))
    nested = len(parts()) - 1
    looped = sum(any(name.startswith(LOOP) for name in part.tree["Resources"]) for part in parts())
    if (kinds["template"], kinds["loops"]) != (nested, looped):
        print(f"{nested} parts, {looped} of them with loops, became {dict(kinds)}", file=sys.stderr)
        return 1
    print(f"sam package: {nested} parts, {looped} of them with loops, and the scaler's code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
