# SPDX-License-Identifier: Apache-2.0
"""Which connections hostd has: whoever has not logged in can take only a share of them.

Every connection counts from its first packet on, before TLS. Those that have shown no valid token
are strangers: a source has at most SOURCE_MAX of them, all together STRANGERS_MAX, and the rest up
to CONNECTIONS_MAX is for clients that have logged in. A newcomer is always let in: where a share is
full, the stranger of the largest source that has waited longest makes room. So a flood from one
address drives out its own connections only, and a new client has time for its login.

A connection that completes no request for REQUEST_SECONDS is closed. All of it runs in the event
loop's thread.
"""

import asyncio
import contextlib
import ipaddress
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol

CONNECTIONS_MAX, STRANGERS_MAX, SOURCE_MAX = 512, 384, 256
HANDSHAKE_SECONDS, REQUEST_SECONDS = 10.0, 30.0
#: Seconds between two looks at deadlines; between two tries when no connection can be accepted.
LOOK, RETRY = 1.0, 0.1


def source_of(address: str) -> str:
    """What limits count: an IPv4 address, or the /64 that one IPv6 host commands (RFC 6177). What
    is no address, as in tests without a network, counts as it is."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


class Connection:
    """One connection; `account` is set once a request showed a valid token or password."""

    def __init__(self, source: str, since: float) -> None:
        self.source, self.since = source, since
        self.account = ""
        self.abort: Callable[[], object] = lambda: None
        self.busy: Callable[[], bool] = lambda: False


class Gate:
    """Admits connections and closes those that are late; clock() is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.connections: dict[Connection, None] = {}  # in the order of their arrival

    def admit(self, source: str) -> Connection | None:
        """The newcomer's place; None: everybody here is logged in, and the house is full."""
        strangers = [c for c in self.connections if not c.account]
        sources = Counter(c.source for c in strangers)
        if sources[source] >= SOURCE_MAX:
            self._drop(strangers, source)
        elif len(strangers) >= STRANGERS_MAX or len(self.connections) >= CONNECTIONS_MAX:
            if not strangers:
                return None
            self._drop(strangers, max(sources, key=sources.__getitem__))
        made = Connection(source, self._clock())
        self.connections[made] = None
        return made

    def release(self, connection: Connection) -> None:
        """It has gone. May be called again."""
        self.connections.pop(connection, None)

    def _drop(self, strangers: list[Connection], source: str) -> None:
        """Closes the one that has waited longest, one that is being answered only when all are."""
        victim = min(
            (c for c in strangers if c.source == source), key=lambda c: (c.busy(), c.since)
        )
        self.release(victim)
        victim.abort()

    def close_late(self) -> None:
        """Closes what has completed no request in time."""
        now = self._clock()
        for c in list(self.connections):
            if c.busy():
                c.since = now
            elif now - c.since > REQUEST_SECONDS:
                self.release(c)
                c.abort()


class Http(H11Protocol):
    """uvicorn's HTTP, known to the gate. Its requests carry the Connection in scope["state"]."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = self.app_state["connection"]
        connection.abort, connection.busy = transport.abort, self.answering

    def answering(self) -> bool:
        """Whether a request has come whole and its response has not ended."""
        cycle = self.cycle
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.app_state["gate"].release(self.app_state["connection"])


class Ws(WSProtocol):
    """uvicorn's WebSocket, which takes a connection over from Http: a console has no deadline."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state["connection"].busy = lambda: True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.app_state["gate"].release(self.app_state["connection"])


class Acceptor:
    """Accepts for a uvicorn server that has no sockets of its own."""

    def __init__(self, gate: Gate, server: uvicorn.Server, listener: socket.socket) -> None:
        self.gate, self.server, self.listener = gate, server, listener
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until it is cancelled; the listener is closed then."""
        loop = asyncio.get_running_loop()
        self.listener.setblocking(False)
        with self.listener:
            while True:
                try:
                    sock, address = await loop.sock_accept(self.listener)
                except OSError:  # no descriptor is free, or the client has gone already
                    await asyncio.sleep(RETRY)
                    continue
                connection = self.gate.admit(source_of(address[0]))
                if connection is None:
                    sock.close()
                    continue
                task = loop.create_task(self._open(sock, connection))
                # Until TLS is up, cancelling the task is what closes the connection.
                connection.abort = task.cancel
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            self.gate.close_late()

    async def _open(self, sock: socket.socket, connection: Connection) -> None:
        config, server = self.server.config, self.server
        state: dict[str, Any] = {"connection": connection, "gate": self.gate}

        def protocol() -> Http:
            return Http(config, server.server_state, state)

        transport: asyncio.BaseTransport | None = None
        with contextlib.suppress(OSError):  # also ssl.SSLError and TimeoutError
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                protocol, sock, ssl=config.ssl, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        # A client that left during the handshake ends it without an error and without a protocol.
        if transport is None or transport.is_closing():
            self.gate.release(connection)
