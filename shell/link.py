# SPDX-License-Identifier: Apache-2.0
"""Frames over the control socket: requests, replies, events and passed file descriptors.

Source: vmkernel/include/abi/ctl.h. Knows nothing of what an operation means; that is `client`.
"""

import errno
import os
import socket
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import NamedTuple, Self

from tepui.shell import abi

SOCKET = "/run/vmkernel.sock"
HEADER = 16
PAYLOAD_MAX = 65536
FDS_MAX = 4


class LinkError(Exception):
    """The connection is unusable: no socket, another ABI, a broken stream."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class RefusedError(Exception):
    """The vmkernel answered a request with an error."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text or os.strerror(code))
        self.code = code


class Reply(NamedTuple):
    payload: bytes
    fds: tuple[int, ...] = ()


class Event(NamedTuple):
    kind: int
    payload: bytes


class Link:
    """One connection, greeted. Not for use by several threads at once."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sequence = 0
        self._buffer = bytearray()
        self._fds: deque[int] = deque()
        self._events: deque[Event] = deque()

    @classmethod
    def connect(cls, path: str = SOCKET, timeout: float | None = 30) -> Self:
        """Connects and says HELLO; raises LinkError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(path)
        except OSError as e:
            sock.close()
            raise LinkError(
                f"{path}: {os.strerror(e.errno or errno.EIO)}",
                "this runs on a Tepui host; from elsewhere use --host",
            ) from e
        link = cls(sock)
        try:
            link.request(abi.lib().CTL_HELLO, abi.digest())
        except RefusedError as e:
            link.close()
            raise LinkError(str(e), "use the tepui package of the host's own version") from e
        return link

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._sock.close()
        while self._fds:
            os.close(self._fds.popleft())

    def fileno(self) -> int:
        return self._sock.fileno()

    def request(self, operation: int, payload: bytes = b"") -> Reply:
        """Sends one request and waits for its reply; events that come first are kept.

        Raises RefusedError when the vmkernel refuses, LinkError when the stream is broken.
        """
        self._sequence = self._sequence % 0xFFFFFFFF + 1  # 0 marks events
        head = abi.pack(
            "ctl_header", length=len(payload), operation=operation, sequence=self._sequence
        )
        try:
            self._sock.sendall(head + payload)
        except OSError as e:
            raise LinkError(f"control socket: {e.strerror}") from e
        while True:
            got = self._frame()
            if isinstance(got, Event):
                self._events.append(got)
                continue
            sequence, status, body = got
            if sequence != self._sequence:
                raise LinkError(f"reply {sequence} to request {self._sequence}")
            # Requests are answered one at a time, so the descriptors received belong to this reply.
            fds = tuple(self._fds)
            self._fds.clear()
            if status:
                text = body.split(b"\0", 1)[0].decode("utf-8", "replace")
                raise RefusedError(-status, text)
            return Reply(body, fds)

    def subscribe(self) -> Iterator[Event]:
        """Events from now on (this call asks for them), as they come; blocks between them."""
        self.request(abi.lib().CTL_SUBSCRIBE)
        return self._coming()

    def _coming(self) -> Iterator[Event]:
        while True:
            if self._events:
                yield self._events.popleft()
                continue
            got = self._frame()
            if isinstance(got, Event):
                yield got

    def _frame(self) -> Event | tuple[int, int, bytes]:
        head = abi.cast("ctl_header", self._take(HEADER))
        if head.length > PAYLOAD_MAX:
            raise LinkError(f"a frame of {head.length} bytes")
        body = self._take(head.length)
        if head.sequence == 0:
            return Event(head.operation, body)
        return head.sequence, head.status, body

    def _take(self, n: int) -> bytes:
        while len(self._buffer) < n:
            try:
                data, fds, _, _ = socket.recv_fds(self._sock, 65536, FDS_MAX)
            except OSError as e:
                raise LinkError(f"control socket: {e.strerror or e}") from e
            self._fds.extend(fds)
            if not data:
                raise LinkError("the vmkernel closed the connection")
            self._buffer += data
        out = bytes(self._buffer[:n])
        del self._buffer[:n]
        return out
