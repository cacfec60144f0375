# SPDX-License-Identifier: Apache-2.0
"""Guests on a port group: to the outside, to each other; their console and entropy devices."""

import hashlib
import os
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tepui.shell.vm.devices import Device, DeviceKind
from tests.system import guests
from tests.system.guests import Guest
from tests.system.machine import DIES_WITH_US, READY, Machine

Boot = Callable[..., Machine]
NIC = Device(DeviceKind.NETWORK, "VM Network")
OTHERS = (Device(DeviceKind.CONSOLE), Device(DeviceKind.RANDOM))
PEER = "10.0.2.30"
UP = """
ip link set lo up
ip address add {address}/24 dev eth0 && ip link set eth0 up
"""
DATA = """
dd if=/dev/hwrng of=/data bs=64k count=8 iflag=fullblock 2>/dev/null || exit 1
for n in 1 2 3; do cat /data /data >/more; mv /more /data; done
echo "guest: sum $(sha256sum </data | tee /sum | cut -c1-64)"
"""
SERVE = UP.format(address=PEER) + DATA + "httpd -f -h /"
#: 4 MiB there and back; from the peer in so few frames that most carried more than the MTU.
SCRIPT = (
    UP.format(address="10.0.2.20")
    + DATA
    + """
echo "guest: by the virtio console" >/dev/hvc0
ping -c 3 -s 1400 10.0.2.2 | grep -q " 0% packet loss" || exit 1
nc 10.0.2.2 {port} </data >/back && cmp /data /back || exit 1
until wget -q -O /sum http://{peer}/sum; do sleep 1; done
cd /sys/class/net/eth0
before=$(cat statistics/rx_packets)
wget -q -O - http://{peer}/data | sha256sum | cmp - /sum || exit 1
echo "guest: $(($(cat statistics/rx_packets) - before)) frames" $(ls queues)
test $(($(cat statistics/rx_packets) - before)) -lt 1500 -a -d queues/rx-1 -a -d queues/tx-1
"""
)
IPERF = ("libc6", "libssl3", "libsctp1", "libiperf0", "iperf3")
#: Loads of ten seconds each way, with the peer and the outside; the packets of ping meanwhile.
LOADS = (
    UP.format(address="10.0.2.20")
    + """
until ping -c 1 {peer} >/dev/null; do sleep 1; done
for to in "{peer} -p 5201" "10.0.2.2 -p {port}"; do
    ping -q -c 10 -s 1400 ${{to% -p*}} >/pings &
    iperf3 -c $to -t 10 >/sent && iperf3 -c $to -t 10 -R >/received || exit 1
    wait $! && grep -q " 0% packet loss" /pings || exit 1
    for file in /sent /received; do echo "guest: $to $(grep receiver $file)"; done
    echo "guest: $(grep round-trip /pings)"
done
! dmesg | grep -i "detected stalls\\|lockup\\|Call Trace"
"""
)


@pytest.fixture
def outside() -> Iterator[tuple[int, list[str]]]:
    """A server that gives back all that it got once it has got all: its port, and the digests."""
    digests: list[str] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data = b"".join(iter(lambda: self.request.recv(1 << 16), b""))
            digests.append(hashlib.sha256(data).hexdigest())
            self.request.sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1], digests
        server.shutdown()


@pytest.mark.slow
def test_guests_talk_to_the_outside_and_to_each_other(
    boot: Boot, logs: Path, outside: tuple[int, list[str]]
) -> None:
    port, digests = outside
    script = SCRIPT.format(port=port, peer=PEER)
    iso = guests.iso(
        logs / "guests.iso",
        Guest(script, cpus=2, memory=192, devices=(NIC, *OTHERS)),
        Guest(SERVE, "peer", memory=128, devices=(NIC, OTHERS[1])),
    )
    machine = boot(
        iso=iso,
        memory=1024,
        options="vmimage=guest,peer",
        threads="single",
        arguments=("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"),
    )
    console = machine.console
    console.expect(READY)
    total = console.expect(r"guest\| guest: sum (\w{64})", 300)[1]
    off = r"vm: guest: the guest switched itself off"
    console.expect_all(r"guest\| guest: passed", off, timeout=300)
    assert digests == [total]
    assert "guest| guest: by the virtio console" in console.transcript


@pytest.fixture
def iperf() -> Iterator[int]:
    """An iperf3 server: its port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    trees = [guests.unpacked(name) for name in IPERF[1:]]
    libraries = [str(tree / "usr/lib/x86_64-linux-gnu") for tree in trees]
    program = trees[-1] / "usr/bin/iperf3"
    with subprocess.Popen(
        [*DIES_WITH_US, str(program), "-s", "-B", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"LD_LIBRARY_PATH": ":".join(libraries)},
        stdout=subprocess.DEVNULL,
    ) as server:
        yield port
        server.kill()


@pytest.mark.soak
def test_guests_carry_loads_both_ways(boot: Boot, logs: Path, iperf: int) -> None:
    script = LOADS.format(port=iperf, peer=PEER)
    serve = UP.format(address=PEER) + "iperf3 -s"
    trees = tuple(guests.unpacked(name) for name in IPERF)
    iso = guests.iso(
        logs / "guests.iso",
        Guest(script, cpus=2, memory=256, devices=(NIC,), trees=trees),
        Guest(serve, "peer", cpus=2, memory=256, devices=(NIC,), trees=trees),
    )
    machine = boot(
        iso=iso,
        cpus=2,
        memory=1280,
        options="vmimage=guest,peer",
        threads="single",
        arguments=("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"),
    )
    machine.console.expect(READY)
    rate = r"guest\| guest: (?:failed|.* (\d\S*) [KMG]?bits/sec.*receiver)"
    for _ in range(4):
        found = machine.console.expect(rate, 300)
        assert found[1] and float(found[1]) > 0
    machine.console.expect(r"guest\| guest: passed", 60)
