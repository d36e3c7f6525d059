"""Network namespaces of a test's own: a node's network, and a world that owns every address it must not reach.

    inside ──veth── outside
    proxy           a listener on every address of every network there is, a name server, a sniffer

A socket belongs to the namespace of the thread that made it, and may then be used by any thread. So the test itself
listens, sniffs and connects in both; only what is tested runs there as a process. Needs root and iproute2.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
ICMPV6 = 58
NEIGHBOURS = range(130, 137)
"""ICMPv6 types of multicast listeners, routers and neighbours: what IPv6 needs to find the other end of a cable."""

TCP_FLAGS, SYN, ACK = 13, 0x02, 0x10

_numbers = itertools.count()


class Namespace:
    """One network namespace; `close` removes it and whatever it holds."""

    def __init__(self, role: str) -> None:
        self.name = f"leadfleet-{os.getpid()}-{next(_numbers)}-{role}"
        ip("netns", "add", self.name)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        self._thread.submit(_enter, self.name).result()
        self.ip("link", "set", "lo", "up")

    @property
    def exec(self) -> list[str]:
        """Runs a command in it, with its own /etc/resolv.conf."""
        return ["ip", "netns", "exec", self.name]

    def ip(self, *arguments: str) -> None:
        ip("-n", self.name, *arguments)

    def set(self, name: str, value: str) -> None:
        """A setting of its network, by its path below ``/proc/sys/net``."""
        self.run(lambda: (Path("/proc/sys/net") / name).write_text(value))

    def run(self, call: Callable[[], T]) -> T:
        """``call`` on a thread that is in the namespace."""
        return self._thread.submit(call).result()

    def listener(self, address: str, port: int) -> socket.socket:
        return self.run(lambda: _listener(address, port))

    def sniffer(self, device: str) -> Sniffer:
        return Sniffer(self.run(lambda: _packet_socket(device)))

    def connect(self, address: str, port: int, timeout: float = 10) -> socket.socket:
        """A connection from here. Raises OSError."""
        return self.run(lambda: socket.create_connection((address, port), timeout))

    def datagrams(self, address: str, port: int) -> socket.socket:
        """A socket for UDP."""

        def make() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((address, port))
            made.setblocking(False)
            return made

        return self.run(make)

    def close(self) -> None:
        self._thread.shutdown()
        ip("netns", "del", self.name)


@dataclass(frozen=True, slots=True)
class Packet:
    """An IP packet; ports are 0 for what has none. ``opens``: it is the first of a connection, or of no connection."""

    source: str
    target: str
    protocol: int
    source_port: int
    target_port: int
    opens: bool

    def __str__(self) -> str:
        return f"{self.protocol} {self.source}:{self.source_port} → {self.target}:{self.target_port}"


class Sniffer:
    """Every IP packet that came in on a device, since this was made or last asked."""

    def __init__(self, made: socket.socket) -> None:
        self._socket = made

    def packets(self) -> list[Packet]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, (_, _, kind, *_) = self._socket.recvfrom(65_536)
                if kind != socket.PACKET_OUTGOING and (packet := _packet(frame)) is not None:
                    found.append(packet)
        return found

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def joined(
    inside: Namespace, outside: Namespace, addresses: tuple[str, str], addresses6: tuple[str, str]
) -> Iterator[None]:
    """A cable between both; ``inside`` sends everything that is not its own through it. Addresses are with prefix
    length, first those of ``inside``.

    No address changes any more once it is there: Chrome gives up what waits for a connection when one does, and a
    link-local address that looks for its double changes up to two seconds after the cable.
    """
    ip("link", "add", "in0", "netns", inside.name, "type", "veth", "peer", "name", "out0", "netns", outside.name)
    for side, device, index in ((inside, "in0", 0), (outside, "out0", 1)):
        side.set(f"ipv6/conf/{device}/accept_dad", "0")
        side.ip("addr", "add", addresses[index], "dev", device)
        side.ip("-6", "addr", "add", addresses6[index], "dev", device, "nodad")
        side.ip("link", "set", device, "up")
    inside.ip("route", "add", "default", "via", addresses[1].partition("/")[0])
    inside.ip("-6", "route", "add", "default", "via", addresses6[1].partition("/")[0])
    yield


@contextlib.contextmanager
def name_server(inside: Namespace, address: str) -> Iterator[None]:
    """Processes of `Namespace.exec` ask ``address`` for names."""
    folder = Path("/etc/netns") / inside.name
    folder.mkdir(parents=True)
    try:
        (folder / "resolv.conf").write_text(f"nameserver {address}\noptions timeout:2 attempts:1\n")
        yield
    finally:
        shutil.rmtree(folder)


def needed() -> None:
    """Skips, saying why, where no namespace can be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def _enter(name: str) -> None:
    with (Path("/run/netns") / name).open("rb") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listening.bind((address, port))
    listening.listen(128)
    listening.setblocking(False)
    return listening


def _packet_socket(device: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    made.bind((device, ETH_P_ALL))
    made.setblocking(False)
    return made


def _packet(data: bytes) -> Packet | None:
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        protocol, rest = data[9], data[(data[0] & 15) * 4 :]
        source, target = str(IPv4Address(data[12:16])), str(IPv4Address(data[16:20]))
    elif version == 6 and len(data) >= 40:
        protocol, rest = data[6], data[40:]
        source, target = str(IPv6Address(data[8:24])), str(IPv6Address(data[24:40]))
        if (protocol == ICMPV6 and rest[:1] and rest[0] in NEIGHBOURS) or protocol == 0:
            return None  # 0: a hop-by-hop header, which the reports of multicast listeners have
    else:
        return None
    ports = struct.unpack("!HH", rest[:4]) if protocol in {6, 17} and len(rest) >= 4 else (0, 0)
    opens = protocol != socket.IPPROTO_TCP or (len(rest) > TCP_FLAGS and rest[TCP_FLAGS] & (SYN | ACK) == SYN)
    return Packet(source, target, protocol, *ports, opens)
