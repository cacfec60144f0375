# SPDX-License-Identifier: Apache-2.0
"""A Linux peer of a machine: a tap in a network namespace of the test's own, with busybox for its
services. Needs root, or user namespaces.

    with Tap() as tap:
        machine = boot(inside=tap.inside, arguments=(*tap.arguments, "-device", "...,netdev=wire"))
        tap.run("ping", "-c", "1", "10.9.0.10")
"""

import os
import select
import socket
import struct
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.system import guests
from tests.system.machine import DIES_WITH_US

NAME = "tap0"
BUSYBOX = ("httpd", "nc", "ping", "udhcpd", "wget")
# Of <linux/if_packet.h>, which Python's socket module leaves out.
SOL_PACKET, AUXDATA, VNET_HDR, IGNORE_OUTGOING, VLAN_VALID = 263, 8, 15, 23, 1 << 4
OPEN = f"""
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
for option in ({AUXDATA}, {VNET_HDR}, {IGNORE_OUTGOING}):
    s.setsockopt({SOL_PACKET}, option, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
s.bind(({NAME!r}, 3))
socket.send_fds(socket.socket(fileno=0), [b"x"], [s.fileno()])
"""


class VnetHeader(NamedTuple):
    """struct virtio_net_hdr: what a frame leaves for the NIC to do, or what a NIC left."""

    flags: int = 0
    gso_type: int = 0
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0


NEEDS_CSUM, TCPV4 = 1, 1  # of flags, of gso_type
WHOLE = VnetHeader()
VNET = struct.Struct("=BBHHHH")


class Frames:
    """A packet socket at the Linux end of a tap; `mac` is whose frames it takes."""

    def __init__(self, tap: "Tap", mac: bytes) -> None:
        self.mac = mac
        ours, theirs = socket.socketpair()
        with ours, theirs:
            words = (*tap.inside, sys.executable, "-c", OPEN)
            subprocess.run(words, stdin=theirs.fileno(), check=True)
            _, [number], _, _ = socket.recv_fds(ours, 1, 1)
        self.socket = socket.socket(fileno=number)
        tap.stack.push(self.socket)

    def send(self, frame: bytes, header: VnetHeader = WHOLE) -> None:
        self.socket.sendall(VNET.pack(*header) + frame)

    def take(self, timeout: float) -> tuple[VnetHeader, bytes] | None:
        """The next frame, whose VLAN tag is again where it was, or None when none comes."""
        while select.select([self.socket], [], [], timeout)[0]:
            data, ancillary, _, _ = self.socket.recvmsg(1 << 17, 64)
            frame = data[VNET.size :]
            if frame[:6] != self.mac:
                continue
            status, _, _, _, _, tci, kind = struct.unpack("=IIIHHHH", ancillary[0][2])
            tag = struct.pack("!HH", kind, tci) if status & VLAN_VALID else b""
            return VnetHeader(*VNET.unpack_from(data)), frame[:12] + tag + frame[12:]
        return None

    def receive(self, timeout: float) -> bytes | None:
        taken = self.take(timeout)
        return taken and taken[1]


class Tap:
    def __init__(self) -> None:
        self.stack = ExitStack()
        self.busybox = str(guests.unpacked("busybox-static") / "bin/busybox")

    @property
    def arguments(self) -> tuple[str, str]:
        return "-netdev", f"tap,id=wire,ifname={NAME},script=no,downscript=no"

    def __enter__(self) -> Self:
        root = os.geteuid() == 0
        kinds: tuple[str, ...] = ("--net",) if root else ("--net", "--map-root-user")
        # The namespace lives as long as this process, which says when it is in it.
        self.keeper = self._start(("unshare", *kinds, "sh", "-c", "echo; exec cat"))
        assert self.keeper.stdout and self.keeper.stdout.read(1) == b"\n"
        kinds = ("--net",) if root else ("--net", "--user", "--preserve-credentials")
        self.inside = ("nsenter", f"--target={self.keeper.pid}", *kinds)
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "tuntap", "add", NAME, "mode", "tap", "vnet_hdr")
        self.run("ip", "link", "set", NAME, "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stack.close()

    def _start(self, command: tuple[str, ...]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            (*DIES_WITH_US, *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.stack.push(process)
        self.stack.callback(process.kill)
        return process

    def _words(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return (*self.inside, *((self.busybox,) if words[0] in BUSYBOX else ()), *words)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A program of the peer's that ends with the test."""
        return self._start(self._words(words))

    def run(self, *words: str) -> str:
        return guests.run(*self._words(words))

    def sent(self) -> int:
        """Frames that went through the tap to the machine's NIC."""
        out = self.run("cat", f"/proc/{self.keeper.pid}/net/dev")
        fields = next(line for line in out.splitlines() if NAME in line).split(":")[1].split()
        return int(fields[9])

    def dhcp(self, folder: Path, network: str) -> None:
        """A server for 10.9.0.10 only, on the tap; `network`: the peer's address with /24."""
        self.run("ip", "address", "add", network, "dev", NAME)
        leases, config = folder / "leases", folder / "udhcpd.conf"
        leases.touch()
        config.write_text(
            f"start 10.9.0.10\nend 10.9.0.10\ninterface {NAME}\nlease_file {leases}\n"
            f"pidfile {folder}/udhcpd.pid\noption subnet 255.255.255.0\noption router 10.9.0.1\n"
            "option lease 600\n"
        )
        self.start("udhcpd", "-f", str(config))
