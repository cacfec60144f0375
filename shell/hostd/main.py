# SPDX-License-Identifier: Apache-2.0
"""hostd: applies the configuration, then serves the API over HTTPS, and SSH where it is switched
on, until it is told to stop. SIGHUP: the configuration has changed.

usage: python3 -m tepui.shell.hostd.main [--port N] [--ssh-port N] [--name NAME]...
"""

import argparse
import asyncio
import asyncio.sslproto
import contextlib
import ctypes
import gc
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from tepui.shell.audit import Audit
from tepui.shell.client import Client
from tepui.shell.config import change
from tepui.shell.config.document import Document
from tepui.shell.config.plain import ShapeError
from tepui.shell.config.store import Store, run, state
from tepui.shell.hostd import certificate, vms
from tepui.shell.hostd.access import Access
from tepui.shell.hostd.accounts import Accounts
from tepui.shell.hostd.app import Api, application
from tepui.shell.hostd.gate import Acceptor, Gate, Http, Ws
from tepui.shell.hostd.listen import listen
from tepui.shell.hostd.ntp import Clock
from tepui.shell.hostd.ssh import Ssh
from tepui.shell.hostd.tokens import ApiTokens, Tokens
from tepui.shell.link import LinkError

#: Bytes that asyncio sets aside for what a TLS connection receives; its own 256 KiB, for each of
#: hundreds of connections, are not given back. A TLS record has 16 KiB at most.
TLS_BUFFER = 32 << 10
#: To mallopt: how many arenas malloc has. Each would keep what the greatest request took that a
#: thread of its served; no two threads run Python at a time.
M_ARENA_MAX = -8
#: To mallopt: from how many bytes on a block is mapped by itself, and given back when it is freed.
#: malloc would raise it to the size of a kernel that a VM was started with.
M_MMAP_THRESHOLD = -3
#: Seconds between two looks at whether connections have gone, and at the log.
GIVE_BACK = 5.0
#: Where init sends what hostd prints; at so many bytes it becomes hostd.log.1.
LOG, LOG_MAX = Path("/var/log/hostd.log"), 1 << 20


def say(text: str) -> None:
    print(f"hostd: {text}", flush=True)


def document() -> Document:
    try:
        return Store().current().document
    except ShapeError as e:
        say(f"the configuration is unusable, the host runs as made: {e}")
        return Document()


def at_boot() -> None:
    """Applies the document once a boot, not when hostd itself is started again."""
    marker = run() / "config.applied"
    if marker.exists():
        return
    client = Client()
    try:
        with Store().locked():  # a command that changes the network meanwhile would be undone
            for problem in change.apply(client, document()):
                say(f"configuration: {problem}")
        marker.write_text("")
    except (LinkError, OSError) as e:
        say(f"configuration: {e}")
    finally:
        client.close()


@contextlib.contextmanager
def pid_file() -> Iterator[None]:
    path = run() / "hostd.pid"
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="hostd", description=__doc__)
    parser.add_argument("--audit", type=Path, default=Path("/var/log/audit.log"))
    parser.add_argument("--address", default="::")
    parser.add_argument("--port", type=int, default=443)
    parser.add_argument("--ssh-port", type=int, default=22)
    parser.add_argument("--name", action="append", help="a name or address of this host")
    return parser.parse_args(argv)


def bound_log(path: Path = LOG, most: int = LOG_MAX) -> None:
    """Begins a new log where standard output is a full one."""
    full = os.fstat(1)
    with contextlib.suppress(OSError):
        if full.st_size > most and os.path.samestat(full, path.stat()):
            path.replace(path.with_name(path.name + ".1"))
            with path.open("a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)


async def give_back(server: uvicorn.Server) -> None:
    """What connections took goes back to the vmkernel when they have gone; malloc would keep what
    lies below a block in use."""
    trim, before = ctypes.CDLL(None).malloc_trim, 0
    while True:
        await asyncio.sleep(GIVE_BACK)
        bound_log()
        now = len(server.server_state.connections)
        if now < before:
            gc.collect()
            trim(0)
        before = now


async def serve(args: argparse.Namespace) -> None:
    names = args.name or [socket.gethostname()]
    cert, key = certificate.ensure(state() / "ssl", names)
    say(f"certificate SHA-256 {certificate.fingerprint(cert)}")
    accounts, tokens = Accounts(state() / "accounts.json"), ApiTokens(state() / "tokens.json")
    access = Access(accounts, Tokens(), tokens, Audit(args.audit))
    api = Api(access)
    config = uvicorn.Config(
        application(api),
        ssl_certfile=str(cert),
        ssl_keyfile=str(key),
        http=Http,
        ws=Ws,
        lifespan="off",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )
    ssh, clock = Ssh(api.logins, state(), args.address, args.ssh_port), Clock()
    changed = asyncio.Event()
    changed.set()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, changed.set)

    async def configure() -> None:
        while True:
            await changed.wait()
            changed.clear()
            now = document()
            clock.set(now.ntp.servers if now.ntp.enabled else ())
            try:
                await ssh.set(now.ssh.enabled)
            except OSError as e:
                say(f"SSH: {e}")

    sock = listen(args.address, args.port)
    say(f"listening on port {args.port}")
    server = uvicorn.Server(config)
    config.load()
    acceptor = Acceptor(Gate(), server, sock)
    work = (configure(), clock.run(), give_back(server), acceptor.run(), acceptor.watch())
    others = [asyncio.create_task(w) for w in work]
    with pid_file():
        try:
            await server.serve(sockets=[])  # the acceptor has the socket
        finally:
            for task in others:
                task.cancel()
            await ssh.set(False)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER
    malloc = ctypes.CDLL(None)
    malloc.mallopt(M_ARENA_MAX, 1)
    malloc.mallopt(M_MMAP_THRESHOLD, 128 << 10)
    at_boot()
    vms.begin(state(), run())
    asyncio.run(serve(args))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
