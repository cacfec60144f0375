# SPDX-License-Identifier: Apache-2.0
"""The host's network on the running system: a lease from QEMU's own network, ping, TCP both ways,
the same by loopback, and a link that goes and comes back."""

import hashlib
import http.server
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tepui.iso import cpio, image
from tests.system import guests
from tests.system.console import Console
from tests.system.machine import ROOT, Machine

Boot = Callable[..., Machine]
APPLETS = "sh cat ifconfig route netstat ping wget httpd nslookup sha256sum setsid sleep echo nc"
INIT = """#!/bin/sh
while :; do setsid sh -c 'PS1="ready> " exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'; done
"""
DATA = bytes(n * n >> 3 & 0xFF for n in range(1_500_000))
LEASE = r"ip: vmk0: 10\.0\.2\.15/24 gateway 10\.0\.2\.2 \(DHCP\)"
NICS = ("e1000", "e1000e", "virtio-net-pci")


@pytest.fixture(scope="module")
def net_iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ISO whose userworld image is busybox and a file to serve."""
    folder = tmp_path_factory.mktemp("net")
    root = folder / "root"
    for name in ("bin", "sbin", "dev", "proc", "sys", "tmp", "etc", "root", "www"):
        (root / name).mkdir(parents=True)
    guests.busybox(root, APPLETS)
    (root / "sbin/init").write_text(INIT)
    (root / "sbin/init").chmod(0o755)
    (root / "www/data").write_bytes(DATA)
    with (folder / "userworld").open("wb") as out:
        cpio.write(root, out, 0)
    iso = folder / "tepui.iso"
    image.build(iso, ROOT / "build/vmkernel.elf", {"userworld": folder / "userworld"})
    return iso


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves DATA."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def outside() -> Iterator[int]:
    """The port of an HTTP server on the machine that runs the tests."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(console: Console, command: str, timeout: float = 60) -> str:
    """A command's output, between its echo and the next prompt."""
    console.send(command + "; echo end=$?\n")
    answer = console.expect(r"\n(?P<out>[^$]*?)end=(?P<status>\d+)\s", timeout)
    console.expect("ready> ")
    return answer["out"]


def start(boot: Boot, iso: Path, nic: str, forward: str = "") -> Machine:
    network = f"user,id=net{forward}"
    arguments = ("-netdev", network, "-device", f"{nic},netdev=net,id=nic")
    machine = boot(iso=iso, cpus=2, arguments=arguments)
    machine.console.expect(LEASE, 90)
    machine.console.send("\n")
    machine.console.expect("ready> ")
    return machine


@pytest.mark.parametrize("nic", NICS)
def test_tcp_both_ways(boot: Boot, net_iso: Path, outside: int, nic: str) -> None:
    port = free_port()
    console = start(boot, net_iso, nic, f",hostfwd=tcp:127.0.0.1:{port}-:80").console
    digest = hashlib.sha256(DATA).hexdigest()
    fetched = run(console, f"wget -q -O - http://10.0.2.2:{outside}/ | sha256sum", 120)
    assert digest in fetched
    run(console, "httpd -p 80 -h /www")
    for _ in range(3):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/data", timeout=60) as answer:
            assert answer.read() == DATA
    assert digest in run(console, "wget -q -O - http://127.0.0.1/data | sha256sum", 120)


def test_what_people_look_at(boot: Boot, net_iso: Path) -> None:
    console = start(boot, net_iso, "virtio-net-pci").console
    assert "3 packets received, 0% packet loss" in run(console, "ping -c 3 10.0.2.2")
    assert "2 packets received" in run(console, "ping -c 2 127.0.0.1")
    interfaces = run(console, "ifconfig")
    assert "inet addr:10.0.2.15  Bcast:10.0.2.255  Mask:255.255.255.0" in interfaces
    assert "inet addr:127.0.0.1" in interfaces
    routes = run(console, "route -n")
    assert "0.0.0.0         10.0.2.2        0.0.0.0         UG" in routes
    assert "nameserver 10.0.2.3" in run(console, "cat /etc/resolv.conf")
    assert "can't connect to remote host (10.0.2.15): Connection refused" in run(
        console, "wget -O - http://10.0.2.15:9/ 2>&1"
    )


def test_a_link_comes_back(boot: Boot, net_iso: Path) -> None:
    machine = start(boot, net_iso, "virtio-net-pci")
    machine.qmp.execute("set_link", name="nic", up=False)
    machine.console.expect(r"vSwitch0: uplink none", 20)
    machine.qmp.execute("set_link", name="nic", up=True)
    machine.console.expect(r"vSwitch0: uplink vmnic0", 20)
    machine.console.send("\n")
    machine.console.expect("ready> ")
    assert "packets received" in run(machine.console, "ping -c 8 -W 2 10.0.2.2", 60)
    assert "1 packets received" in run(machine.console, "ping -c 1 10.0.2.2")
