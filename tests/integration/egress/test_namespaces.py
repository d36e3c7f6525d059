"""The networks that these tests make do not change under a Chrome that runs in them."""

from __future__ import annotations

import json
import subprocess

from tests import namespaces
from tests.namespaces import Namespace, joined


def test_addresses_are_final_once_the_cable_is_there() -> None:
    namespaces.needed()
    inside, outside = Namespace("in"), Namespace("out")
    try:
        with joined(inside, outside, ("10.9.9.1/24", "10.9.9.2/24"), ("fd09::1/64", "fd09::2/64")):
            shown = subprocess.run([*inside.exec, "ip", "-json", "-6", "addr"], capture_output=True, check=True).stdout
            found = [address for device in json.loads(shown) for address in device["addr_info"]]
    finally:
        inside.close()
        outside.close()
    assert {address["scope"] for address in found} >= {"global", "link"}
    assert [address for address in found if address.get("tentative")] == []
