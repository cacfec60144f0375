# SPDX-License-Identifier: Apache-2.0
"""A Linux machine on the other end of a tap, in a network namespace of its own.

    with Namespace() as peer:
        boot(arguments=peer.arguments, inside=peer.inside)

Run as a program in that namespace it serves DATA over HTTP, echoes TCP, answers every DNS query.
"""

import hashlib
import http.server
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

V4, V6, HTTP, ECHO = "10.77.0.1", "fd77::1", 8000, 7
DATA = bytes(n * n >> 3 & 0xFF for n in range(1_500_000))
DIGEST = hashlib.sha256(DATA).hexdigest()
SETUP = f"""
ip link set lo up
ip tuntap add tap0 mode tap vnet_hdr
ip addr add {V4}/24 dev tap0
ip addr add {V6}/64 dev tap0 nodad
ip link set tap0 up
"""


class Namespace:
    """tap0 is {V4}/24 and {V6}/64 here; leaving ends the namespace and all in it."""

    arguments = (
        "-netdev", "tap,id=tap,ifname=tap0,script=no,downscript=no",
        "-device", "virtio-net-pci,netdev=tap,id=nic,mac=52:54:00:77:00:02",
    )  # fmt: skip

    def __enter__(self) -> Self:
        line = [
            "unshare",
            "--net",
            "setpriv",
            "--pdeathsig",
            "KILL",
            sys.executable,
            "-m",
            __name__,
        ]
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout
        assert self.process.stdout.readline() == b"ready\n"
        self.inside = ("nsenter", "--net", "--target", str(self.process.pid))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()

    def run(self, line: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """A line of sh in the namespace."""
        words = [*self.inside, "sh", "-c", line]
        return subprocess.run(words, capture_output=True, text=True, timeout=timeout)


class Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class HttpServer(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(4096):
            self.request.sendall(data)


class EchoServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


class Names(socketserver.BaseRequestHandler):
    """DNS (RFC 1035): every name is V4 and V6."""

    def handle(self) -> None:
        query, sock = self.request
        end = query.index(b"\0", 12) + 5
        kind = struct.unpack_from("!H", query, end - 4)[0]
        address = {1: socket.inet_aton(V4), 28: socket.inet_pton(socket.AF_INET6, V6)}.get(kind)
        head = query[:2] + struct.pack("!5H", 0x8180, 1, 1 if address else 0, 0, 0)
        answer = head + query[12:end]
        if address:
            answer += struct.pack("!HHHIH", 0xC00C, kind, 1, 60, len(address)) + address
        sock.sendto(answer, self.client_address)


def main() -> None:
    """Serves until standard input ends."""
    for line in SETUP.split("\n"):
        if line:
            subprocess.run(line.split(), check=True)
    servers = [
        HttpServer(("::", HTTP), Pages),
        EchoServer(("0.0.0.0", ECHO), Echo),
        socketserver.ThreadingUDPServer(("0.0.0.0", 53), Names),
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
