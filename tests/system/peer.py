# SPDX-License-Identifier: Apache-2.0
"""The other end of a NIC's cable: a socket netdev, frames with a length in front of each."""

import select
import socket
import struct
import time
from types import TracebackType
from typing import Self


class Peer:
    """`arguments` go to QEMU before the device that names netdev=`name`. A `listener` that
    another process made is where QEMU calls."""

    def __init__(self, name: str = "wire", listener: socket.socket | None = None) -> None:
        self.name = name
        self.listener = listener or socket.create_server(("127.0.0.1", 0), backlog=1)
        self.stream: socket.socket | None = None
        self.pending = b""

    @property
    def arguments(self) -> tuple[str, str]:
        port = self.listener.getsockname()[1]
        return "-netdev", f"socket,id={self.name},connect=127.0.0.1:{port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.listener.close()
        if self.stream:
            self.stream.close()

    def accept(self, timeout: float = 30) -> None:
        self.listener.settimeout(timeout)
        self.stream, _ = self.listener.accept()
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frame: bytes) -> None:
        assert self.stream
        self.stream.sendall(struct.pack("!I", len(frame)) + frame)

    def receive(self, timeout: float) -> bytes | None:
        """The next frame, or None when none comes in time."""
        assert self.stream
        end = time.monotonic() + timeout
        while True:
            if len(self.pending) >= 4:
                size = struct.unpack_from("!I", self.pending)[0]
                if len(self.pending) >= 4 + size:
                    frame, self.pending = self.pending[4 : 4 + size], self.pending[4 + size :]
                    return frame
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.stream], [], [], left)[0]:
                return None
            data = self.stream.recv(1 << 16)
            if not data:
                return None
            self.pending += data
