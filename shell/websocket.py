# SPDX-License-Identifier: Apache-2.0
"""The client's end of a console over WebSocket (wsproto): a Connection for `stream.attach`."""

import contextlib
import json
import socket
import ssl

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)


class RefusedHandshakeError(Exception):
    """The host answered with a status instead of a console."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"status {status}")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            self.args = (json.loads(body)["error"],)
        self.status = status


class WebSocket:
    """Owns the socket; opens with the handshake. Raises OSError when the connection breaks."""

    def __init__(self, sock: ssl.SSLSocket, host: str, target: str, token: str) -> None:
        self.sock, self.status, self.ended = sock, 255, False
        self.ws = WSConnection(ConnectionType.CLIENT)
        headers = [(b"Authorization", f"Bearer {token}".encode())]
        self._put(Request(host=host, target=target, extra_headers=headers))
        status, body = 0, b""
        while True:
            for event in self._events():
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    status = event.status_code
                    if not event.has_body:
                        raise RefusedHandshakeError(status, b"")
                elif isinstance(event, RejectData):
                    body += event.data
                    if event.body_finished:
                        raise RefusedHandshakeError(status, body)

    def _put(self, event: Event) -> None:
        self.sock.sendall(self.ws.send(event))

    def _events(self) -> list[Event]:
        data = self.sock.recv(65536)
        while self.sock.pending():
            data += self.sock.recv(65536)
        self.ws.receive_data(data or None)
        return list(self.ws.events())

    def fileno(self) -> int:
        return self.sock.fileno()

    def recv(self) -> bytes | None:
        """What the console printed; b"" at its end, None for the protocol's own messages."""
        out = b""
        for event in [] if self.ended else self._events():
            if isinstance(event, BytesMessage):
                out += bytes(event.data)
            elif isinstance(event, TextMessage):
                self.status = int(json.loads(event.data).get("exit", 255))
            elif isinstance(event, Ping):
                self._put(event.response())
            elif isinstance(event, CloseConnection):
                self.ended = True
        if self.ended and not out:
            return b""
        return out or None

    def send(self, data: bytes) -> None:
        if data:
            self._put(Message(data=data))

    def resize(self, columns: int, rows: int) -> None:
        self._put(Message(data=json.dumps({"resize": [columns, rows]})))

    def close(self) -> int:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        return self.status
