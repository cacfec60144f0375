# SPDX-License-Identifier: Apache-2.0
"""Changing the configuration: the host first, then the document; and the other way at boot.

Commands that change the host's network do so directly; `followed` then writes what runs into the
document. ssh and ntp live in hostd, which reads the document again when it is told to.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

from tepui.shell import netclient
from tepui.shell.client import Client
from tepui.shell.config import network
from tepui.shell.config.document import Document
from tepui.shell.config.store import Revision, Store, run


def tell_hostd() -> None:
    """hostd, if it runs, reads the document (it does so when it starts, too)."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((run() / "hostd.pid").read_text())
        os.kill(pid, signal.SIGHUP)


def apply(host: Client, document: Document) -> list[str]:
    """Makes the running host be as the document says; the problems."""
    problems = []
    try:
        set_hostname(document.hostname)
    except OSError as e:
        problems.append(f"hostname: {e.strerror}")
    if document.network is not None:
        problems += network.apply(netclient.Network(host), document.network)
    return problems


def set_hostname(name: str) -> None:
    socket.sethostname(name)


def edit(change: Callable[[Document], Document], user: str, reason: str) -> Revision:
    """Changes parts of the document that hostd acts on."""
    store = Store()
    with store.locked():
        new = store.save(change(store.current().document), user, reason)
    tell_hostd()
    return new


@contextlib.contextmanager
def followed(host: Client, user: str, reason: str) -> Iterator[None]:
    """The document takes over the network that runs after what is done within. Nobody else changes
    either meanwhile: a host that starts would undo what its document does not have yet."""
    store = Store()
    with store.locked():
        yield
        document = store.current().document
        running = network.capture(netclient.Network(host))
        store.save(replace(document, network=running), user, reason)
