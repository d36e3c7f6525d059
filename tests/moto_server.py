"""moto's S3 server with one promise of S3's that it lacks: of two conditional creates of a key, one is refused.

moto looks whether the key is there and then stores it, and requests run in threads. Two sinks that commit the same
version of the leads table at once both succeed with it, and the later one overwrites the other's commit.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from moto.s3.responses import S3Response
from moto.server import main

_one_at_a_time = threading.Lock()
_put_object = S3Response.put_object


def _put_object_alone(self: Any, *args: Any, **kwargs: Any) -> Any:
    with _one_at_a_time:
        return _put_object(self, *args, **kwargs)


if __name__ == "__main__":
    S3Response.put_object = _put_object_alone
    main(sys.argv[1:])
