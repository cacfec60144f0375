# SPDX-License-Identifier: Apache-2.0
"""Ill-formed traffic for the control socket of a running host: ctl_fuzz.py SEED COUNT.

Wrong lengths, operations, values, halves of frames and floods, each on connections of their own; in
between a well-behaved client asks and must be answered. Prints "ctl_fuzz: N attacks, M answers".
"""

import contextlib
import random
import socket
import struct
import sys

from tepui.shell import abi
from tepui.shell.client import Client

HEADER = struct.Struct("<IIIi")  # length, operation, sequence, status
PATH = "/run/vmkernel.sock"
#: What would end the test rather than the server.
LEFT_OUT = {"CTL_HOST_POWER"}


def operations() -> list[int]:
    lib = abi.lib()
    bases = [getattr(lib, n) for n in dir(lib) if n.startswith("CTL_BASE_")]
    barred = {getattr(lib, n) for n in LEFT_OUT}
    return [base + i for base in bases for i in range(40) if base + i not in barred]


def frame(r: random.Random, operation: int, payload: bytes) -> bytes:
    """Mostly an honest header; else one that lies about its length or is nonsense."""
    length = len(payload) if r.random() < 0.8 else r.choice((0, 1, 65536, 65537, 2**31, 2**32 - 1))
    status = 0 if r.random() < 0.9 else r.randrange(-(2**31), 2**31)
    return HEADER.pack(length, operation, r.randrange(2**32), status) + payload


def attack(r: random.Random, known: list[int]) -> None:
    """One connection's worth of trouble; the server may close it at any time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.settimeout(20)
        s.connect(PATH)
        hello = HEADER.pack(32, abi.lib().CTL_HELLO, 1, 0) + abi.digest()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if r.random() < 0.8:
                s.sendall(hello)
            for _ in range(r.choice((1, 1, 5, 50))):
                operation = r.choice(known) if r.random() < 0.9 else r.randrange(2**32)
                size = r.choice((0, 1, 4, 8, 16, 40, 64, 300, 4096))
                fill = r.choice((b"\0", b"\xff", b"A"))
                payload = r.randbytes(size) if r.random() < 0.7 else fill * size
                data = frame(r, operation, payload)
                s.sendall(data[: r.randrange(len(data))] if r.random() < 0.1 else data)
            if r.random() < 0.3:
                s.shutdown(socket.SHUT_WR)  # else the server rightly waits for the rest of a half
                s.recv(65536)


def main() -> int:
    r, known = random.Random(int(sys.argv[1])), operations()
    count, answers = int(sys.argv[2]), 0
    host = Client()
    for number in range(count):
        attack(r, known)
        if number % 10 == 0:
            assert host.info().cpus > 0
            assert Client().info().cpus > 0
            answers += 2
    print(f"ctl_fuzz: {count} attacks, {answers} answers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
