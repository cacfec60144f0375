# SPDX-License-Identifier: Apache-2.0
"""VLANs and port groups on the running host, with frames that the test makes itself and with Linux
at the other end; captures of both, read by scapy and tshark."""

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.utils import RawPcapReader

from tests.system import guests
from tests.system.machine import Machine
from tests.system.peer import Peer
from tests.system.shell import Shell
from tests.system.test_net import free_port

Boot = Callable[..., Machine]
MAC = "52:54:00:aa:00:01"
STANDARD = "esxcli network vswitch standard"
#: Debian's tshark and what it needs beyond the packages of the build.
TSHARK = (
    "tshark wireshark-common libwireshark16 libwiretap13 libwsutil14 libbcg729-0 libc-ares2 "
    "liblua5.2-0 libmaxminddb0 libnl-3-200 libnl-genl-3-200 libnl-route-3-200 libpcap0.8 libsbc1 "
    "libsmi2ldbl libsnappy1v5 libspandsp2 libspeexdsp1 libssh-gcrypt-4"
)
SIZE = 256 << 10
#: Linux on VLAN 42: what it serves comes back the same; then pings of several sizes.
LINUX = f"""
ip link set eth0 up
ip link add link eth0 name eth0.42 type vlan id 42
ip address add 10.42.0.1/24 dev eth0.42 && ip link set eth0.42 up
dd if=/dev/urandom of=/data bs=1k count={SIZE >> 10} 2>/dev/null
httpd -p 80 -h / && echo "guest: serves"
until wget -q -O /back http://10.42.0.2:8080/data; do sleep 1; done
cmp /data /back || exit 1
for size in 0 1472 1473 8000; do
    ping -c 1 -s $size 10.42.0.2 | grep -q " 0% packet loss" || exit 1
done
"""


def ok(shell: Shell, command: str, timeout: float = 120) -> str:
    rc, text = shell.run(command, timeout)
    assert rc == 0, f"{command}: {text}"
    return text


def lab(shell: Shell) -> None:
    """vmk1 as 10.42.0.2 on VLAN 42."""
    ok(shell, f"{STANDARD} portgroup add -p lab -v vSwitch0")
    ok(shell, f"{STANDARD} portgroup set -p lab --vlan-id 42")
    ok(shell, "esxcli network ip interface add -i vmk1 -p lab")
    ok(shell, "esxcli network ip interface ipv4 set -i vmk1 -t static -I 10.42.0.2 "
              "-N 255.255.255.0")  # fmt: skip


def capture(shell: Shell, more: str = "") -> None:
    """Begins to capture vmnic0's frames."""
    ok(shell, f"pktcap-uw --uplink vmnic0 -o /tmp/wire.pcap {more} >/tmp/wire.log & "
              "until grep -q writing /tmp/wire.log; do sleep 1; done")  # fmt: skip


def captured(shell: Shell) -> bytes:
    """Ends the capture; the file."""
    ok(shell, "kill %1; wait; ls -l /tmp/wire.pcap")
    return base64.b64decode(ok(shell, "base64 /tmp/wire.pcap"))


def tshark(capture: bytes, *words: str) -> list[str]:
    """The lines that Debian's tshark prints of a capture."""
    roots = [guests.unpacked(package) for package in TSHARK.split()]
    libraries = ":".join(str((root / "usr/lib/x86_64-linux-gnu").resolve()) for root in roots)
    done = subprocess.run(
        [roots[0] / "usr/bin/tshark", "-r", "-", *words],
        env={"LD_LIBRARY_PATH": libraries, "PATH": "/usr/bin"},
        input=capture,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().splitlines()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_vlan_with_linux(boot: Boot, logs: Path) -> None:
    """TCP both ways and ping with Linux's own VLAN, and what tshark says of the capture."""
    package, port = guests.linux(), free_port()
    (kernel,) = package.glob("boot/vmlinuz-*")
    logs.mkdir(parents=True, exist_ok=True)
    modules = (*guests.MODULES, "llc/llc", "802/stp", "802/garp", "802/mrp", "8021q/8021q")
    initrd = guests.initramfs(package, LINUX, logs / "initrd", modules)
    nic = ("-device", "virtio-net-pci,netdev=wire")
    wire = ("-netdev", f"socket,id=wire,listen=127.0.0.1:{port}")
    shell = Shell(boot(cpus=1, memory=1024, arguments=(*wire, *nic)))
    wire = ("-netdev", f"socket,id=wire,connect=127.0.0.1:{port}")
    linux = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyS0 quiet")
    nic = ("-device", f"virtio-net-pci,netdev=wire,mac={MAC}")
    peer = boot(memory=256, boot="none", arguments=(*wire, *nic, *linux))
    lab(shell)
    peer.console.expect("guest: serves", 120)
    capture(shell, "-s 96")
    ok(shell, "cd /tmp && wget -q http://10.42.0.1/data && httpd -p 8080 -h /tmp")
    peer.console.expect("guest: passed", 240)

    data = captured(shell)
    fields = "-T fields -e vlan.id -e ip.src -e tcp.port -e icmp.type"
    rows = [line.split("\t") for line in tshark(data, *fields.split(), "-Y", "tcp || icmp")]
    assert {row[0] for row in rows} == {"42"}
    assert {row[1] for row in rows} == {"10.42.0.1", "10.42.0.2"}
    for number in ("80", "8080"):
        assert sum(number in row[2].split(",") for row in rows) > SIZE // 1514
    replies = [line for line in tshark(data, "-Y", "icmp.type == 0") if "reply" in line]
    assert len(replies) == 4, replies
    assert not tshark(data, "-Y", "_ws.malformed")


@pytest.mark.slow
def test_vlans_and_port_groups(boot: Boot, tmp_path: Path) -> None:
    """A vmk NIC on VLAN 42 answers tagged frames, and only those."""
    with Peer() as wire:
        device = ("-device", f"e1000,netdev={wire.name}")
        shell = Shell(boot(cpus=1, memory=1024, arguments=(*wire.arguments, *device)))
        wire.accept()
        lab(shell)
        capture(shell)
        rows = {row["Name"]: row for row in shell.json("network vswitch standard portgroup list")}
        assert rows["lab"]["VLANID"] == 42 and rows["lab"]["ActiveClients"] == 1

        question = ARP(op=1, hwsrc=MAC, psrc="10.42.0.1", pdst="10.42.0.2")
        plain, tagged = Ether(dst="ff:ff:ff:ff:ff:ff", src=MAC), Dot1Q(vlan=42)
        wire.send(bytes(plain / question))
        wire.send(bytes(plain / Dot1Q(vlan=43) / question))
        wire.send(bytes(plain / tagged / question))
        answer = wait_for(wire, lambda p: ARP in p and p[ARP].psrc == "10.42.0.2")
        assert answer[Dot1Q].vlan == 42
        mac = answer[ARP].hwsrc
        echo = IP(src="10.42.0.1", dst="10.42.0.2") / ICMP(id=1, seq=1) / (b"z" * 100)
        wire.send(bytes(Ether(dst=mac, src=MAC) / tagged / echo))
        answer = wait_for(wire, lambda p: ICMP in p and p[ICMP].type == 0)
        assert answer[Dot1Q].vlan == 42 and bytes(answer[ICMP].payload) == b"z" * 100
        wire.send(bytes(Ether(dst=mac, src=MAC) / echo))
        wire.send(bytes(plain / tagged / question))
        late = wait_for(wire, lambda p: ICMP in p or (ARP in p and p[ARP].psrc == "10.42.0.2"))
        assert ARP in late  # nothing answered the untagged echo before

        (tmp_path / "pcap").write_bytes(captured(shell))
        with RawPcapReader(str(tmp_path / "pcap")) as reader:
            frames = iter([data for data, _ in reader])
        passed = [plain / Dot1Q(vlan=43) / question, plain / tagged / question, answer, late]
        for packet in passed:  # as they were on the wire, in that order
            assert any(frame.startswith(bytes(packet)) for frame in frames), packet
        ok(shell, "esxcli network ip interface remove -i vmk1")
        ok(shell, f"{STANDARD} portgroup remove -p lab -v vSwitch0")


def wait_for(wire: Peer, wanted: Callable[[Ether], bool]) -> Ether:
    while True:
        data = wire.receive(60)
        assert data is not None
        packet = Ether(data)
        if wanted(packet):
            return packet
