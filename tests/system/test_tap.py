# SPDX-License-Identifier: Apache-2.0
"""The host beside Linux's own stack: a tap in a network namespace, which offers a NIC offloads."""

import hashlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.machine import Machine
from tests.system.tap import NAME, Tap
from tests.system.test_net import LEASE, NICS, net_iso, run

__all__ = ["net_iso"]  # a fixture
Boot = Callable[..., Machine]
HOST, PEER = "10.9.0.10", "10.9.0.1"
MAC, HOST6 = "52:54:00:12:34:56", f"fe80::5054:ff:fe12:3456%{NAME}"
LEASE = LEASE.replace(r"10\.0\.2\.15", r"10\.9\.0\.10").replace(r"10\.0\.2\.2", r"10\.9\.0\.1")
MIB = 1 << 20
SIZE = 8 * MIB
MSS = 1448


def fetch(tap: Tap, url: str) -> str:
    """SHA-256 of what the peer gets from the host."""
    command = (*tap.inside, tap.busybox, "wget", "-q", "-O", "-", url)
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert len(done.stdout) == SIZE
    return hashlib.sha256(done.stdout).hexdigest()


@pytest.mark.parametrize(
    "nic",
    [pytest.param(n, marks=[] if n.startswith("virtio") else [pytest.mark.soak]) for n in NICS],
)
def test_a_linux_peer(boot: Boot, net_iso: Path, tmp_path: Path, nic: str) -> None:
    """A lease, ping of all sizes and TCP both ways by IPv4 and IPv6; frames that are larger than
    the MTU where the NIC is offered segmentation; a link cut and restored."""
    data = hashlib.shake_256(nic.encode()).digest(SIZE)
    digest = hashlib.sha256(data).hexdigest()
    (tmp_path / "data").write_bytes(data)
    with Tap() as tap:
        tap.dhcp(tmp_path, f"{PEER}/24")
        tap.start("httpd", "-f", "-p", "80", "-h", str(tmp_path))
        machine = boot(
            iso=net_iso,
            cpus=2,
            inside=tap.inside,
            arguments=(*tap.arguments, "-device", f"{nic},netdev=wire,id=nic,mac={MAC}"),
        )
        console = machine.console
        console.expect(LEASE, 90)
        console.send("\n")
        console.expect("ready> ")
        for size in (0, 1, 1472, 1473, 8000):
            for host in (HOST, HOST6):
                assert " 0% packet loss" in tap.run("ping", "-c", "1", "-s", str(size), host)
            assert " 0% packet loss" in run(console, f"ping -c 1 -s {size} {PEER}")

        before = tap.sent()
        assert digest in run(console, f"wget -q -O /www/got http://{PEER}/data; sha256sum /www/got")
        received = tap.sent() - before
        # Linux hands a NIC that takes large frames several segments at once.
        assert received < SIZE // MSS // 3 if nic.startswith("virtio") else received > SIZE // 1514
        run(console, "httpd -p 80 -h /www")
        assert fetch(tap, f"http://{HOST}/got") == digest
        assert fetch(tap, f"http://[{HOST6}]/got") == digest

        machine.qmp.execute("set_link", name="nic", up=False)
        console.expect(r"vSwitch0: uplink none", 20)
        machine.qmp.execute("set_link", name="nic", up=True)
        console.expect(r"vSwitch0: uplink vmnic0", 20)
        console.send("\n")
        console.expect("ready> ")
        assert fetch(tap, f"http://{HOST}/got") == digest
