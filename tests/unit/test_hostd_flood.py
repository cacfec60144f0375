# SPDX-License-Identifier: Apache-2.0
"""Floods of clients that never log in: a logged-in API and new clients are answered throughout.

Addresses below 127.0.0.0/8 stand for different sources.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tepui.shell.hostd import gate
from tepui.shell.hostd.gate import Gate
from tests.unit.hostd_process import PASSWORD, Hostd, https, resident, running, until

SLOWEST = 2.0  # seconds
ATTACKERS = ("127.0.0.66", "127.0.0.67", "127.0.0.68")


@pytest.fixture(scope="module")
def hostd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostd]:
    with running(tmp_path_factory.mktemp("flood")) as host:
        yield host


def trusting(hostd: Hostd) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(hostd.state / "ssl/rui.crt"))


def log_in(hostd: Hostd) -> str:
    connection = https(hostd, trusting(hostd))
    body = json.dumps({"account": "root", "password": PASSWORD})
    connection.request("POST", "/api/session", body)
    answer = connection.getresponse()
    assert answer.status == 200
    token: str = json.load(answer)["token"]
    connection.close()
    return token


def ask(hostd: Hostd, token: str) -> float:
    """Seconds that a command of a logged-in client takes on a connection of its own."""
    before = time.monotonic()
    connection = https(hostd, trusting(hostd))
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("POST", "/api/commands/system/account/list", "{}", headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()
    connection.close()
    return time.monotonic() - before


@contextmanager
def answered_throughout(hostd: Hostd) -> Iterator[None]:
    """Asks again and again while the block runs; each answer is there in time."""
    token, seconds, ended = log_in(hostd), list[float](), threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            seconds.append(ask(hostd, token))

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            ended.set()
        watching.result()
    seconds.append(ask(hostd, token))
    assert max(seconds) < SLOWEST, sorted(seconds)[-5:]


def test_idle_tls_connections(hostd: Hostd) -> None:
    """515 that say nothing after their handshake took every place for ever."""
    context = trusting(hostd)
    with ExitStack() as stack, answered_throughout(hostd):
        for n in range(600):
            connection = https(hostd, context, ATTACKERS[n % 3])
            stack.callback(connection.close)
        log_in(hostd)


def test_idle_connections_before_tls(hostd: Hostd) -> None:
    with ExitStack() as stack, answered_throughout(hostd):
        for n in range(600):
            source = (ATTACKERS[n % 3], 0)
            idle = socket.create_connection(("127.0.0.1", hostd.port), 60, source)
            stack.enter_context(idle)
        log_in(hostd)


def test_one_source_drives_out_itself_only(hostd: Hostd) -> None:
    """An idle client elsewhere keeps its connection while one address opens 600."""
    context = trusting(hostd)
    bystander = https(hostd, context, "127.0.0.5")
    with ExitStack() as stack:
        for _ in range(600):
            idle = socket.create_connection(("127.0.0.1", hostd.port), 60, (ATTACKERS[0], 0))
            stack.enter_context(idle)
        bystander.request("GET", "/api/openapi.json")
        assert bystander.getresponse().status == 200
    bystander.close()


def test_half_bodies_take_no_memory(hostd: Hostd) -> None:
    """100 logins of a MiB each, of which half has come: 113 MiB."""
    context = trusting(hostd)
    head = f"POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: {1 << 20}\r\n\r\n"
    before = resident(hostd)
    with ExitStack() as stack, answered_throughout(hostd):
        for n in range(100):
            connection = https(hostd, context, ATTACKERS[n % 3])
            stack.callback(connection.close)
            connection.sock.sendall(head.encode() + b"x" * 4097)
            with suppress(OSError):  # refused after 4 KiB already
                connection.sock.sendall(bytes(508 << 10))
            assert b" 413 " in connection.sock.recv(100)
        assert resident(hostd) - before < 40 << 10


def test_logins_do_not_hold_commands_up(hostd: Hostd) -> None:
    """60 wrong passwords at once took all threads for 3.5 s."""
    context = trusting(hostd)
    flood = [https(hostd, context, ATTACKERS[n % 3]) for n in range(60)]
    with answered_throughout(hostd):
        for n, connection in enumerate(flood):
            body = json.dumps({"account": "mallory", "password": f"guess {n}"})
            connection.request("POST", "/api/session", body)
        assert {connection.getresponse().status for connection in flood} == {401, 429}
    for connection in flood:
        connection.close()


def test_deadlines() -> None:
    """Without a complete request a connection lives for REQUEST_SECONDS; an answer stops that."""
    now = 0.0
    closed: list[str] = []
    door = Gate(lambda: now)
    idle, busy = door.admit("a"), door.admit("b")
    assert idle and busy
    idle.abort, busy.abort = lambda: closed.append("idle"), lambda: closed.append("busy")
    busy.busy = lambda: True
    now = gate.REQUEST_SECONDS + 1
    door.close_late()
    assert closed == ["idle"] and list(door.connections) == [busy]
    busy.busy = lambda: False
    now += gate.REQUEST_SECONDS
    door.close_late()
    assert closed == ["idle"]
    now += 1
    door.close_late()
    assert closed == ["idle", "busy"]


def test_shares() -> None:
    """Strangers take no places of those who have logged in; the largest source makes room."""
    door, closed = Gate(lambda: 0.0), list[str]()

    def come(source: str, account: str = "") -> None:
        connection = door.admit(source)
        if connection:
            connection.account = account
            connection.abort = lambda: closed.append(source)
        else:
            closed.append("newcomer")

    for n in range(gate.CONNECTIONS_MAX - gate.STRANGERS_MAX):
        come(f"friend {n}", "root")
    for n in range(gate.STRANGERS_MAX):
        come("small" if n < 50 else "big" if n % 3 else f"other {n}")
    assert closed == [] and len(door.connections) == gate.CONNECTIONS_MAX
    come("newcomer's own")
    assert closed == ["big"]
    for _ in range(gate.SOURCE_MAX):
        come("another")
    assert "small" not in closed and not any(name.startswith("friend") for name in closed)
    full = Gate(lambda: 0.0)
    for _ in range(gate.CONNECTIONS_MAX):
        made = full.admit("friend")
        assert made
        made.account = "root"
    assert full.admit("stranger") is None


def test_sources() -> None:
    assert gate.source_of("::ffff:10.0.0.1") == gate.source_of("10.0.0.1") == "10.0.0.1"
    assert gate.source_of("2001:db8::1") == gate.source_of("2001:db8::2:0:0:1") == "2001:db8::/64"
    assert gate.source_of("fe80::1%vmk0") == "fe80::/64"


def test_everything_is_released(hostd: Hostd) -> None:
    """After the floods hostd holds no descriptor of theirs."""
    pid = (hostd.state / "hostd.pid").read_text().strip()

    def sockets() -> int:
        links = [p.readlink() for p in Path(f"/proc/{pid}/fd").iterdir() if p.is_symlink()]
        return sum(str(link).startswith("socket:") for link in links)

    until(lambda: sockets() < 8)
