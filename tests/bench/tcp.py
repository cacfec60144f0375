# SPDX-License-Identifier: Apache-2.0
"""Runs in a userworld: what TCP costs a Python program and its peer on one CPU, over the loopback.

Under -icount shift=0 a nanosecond is an instruction; both ends are counted, and so is all that the
kernel does between them. Prints "bench: user.NAME VALUE instructions", the least of some rounds.
"""

import os
import socket
import time
from collections.abc import Callable

MIB = 1 << 20
BULK = 4  # MiB a round
PIECE = 64 << 10
SMALL = 64
REQUESTS = 200
ROUNDS = 5


def serve(listener: socket.socket) -> None:
    """A child's end: `B` takes BULK MiB and says so, `S` sends as much, `E` is a small request's
    first byte, answered with as many."""
    space = memoryview(bytearray(PIECE))
    while True:
        peer, _ = listener.accept()
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while got := peer.recv_into(space, SMALL):
            if space[0] == ord("B"):
                left = BULK * MIB
                while left:
                    left -= peer.recv_into(space, min(PIECE, left))
                peer.sendall(b"!")
            else:
                peer.sendall(space[:got])
        peer.close()


def report(name: str, count: int, once: Callable[[], None]) -> None:
    least = 0
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        once()
        took = (time.perf_counter_ns() - start) // count
        least = min(least or took, took)
    print(f"bench: user.{name} {least} instructions", flush=True)


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    where = listener.getsockname()
    if os.fork() == 0:
        serve(listener)
    peer = socket.create_connection(where)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    data, request = bytes(PIECE), b"E" * SMALL

    def bulk() -> None:
        peer.sendall(b"B")
        for _ in range(BULK * MIB // PIECE):
            peer.sendall(data)
        assert peer.recv(1) == b"!"

    def small() -> None:
        for _ in range(REQUESTS):
            peer.sendall(request)
            assert len(peer.recv(SMALL)) == SMALL

    def connections() -> None:
        for _ in range(REQUESTS // 10):
            with socket.create_connection(where) as short:
                short.sendall(request)
                assert len(short.recv(SMALL)) == SMALL

    report("tcp_mib", BULK, bulk)
    report("tcp_request", REQUESTS, small)
    peer.close()
    report("tcp_connection", REQUESTS // 10, connections)


main()
