# SPDX-License-Identifier: Apache-2.0
"""The host's network as its administrator sees it, with a Linux machine on the other end of a tap
in a network namespace of the test's own, and with frames that the test makes itself."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from tests.system.machine import Machine
from tests.system.netpeer import DIGEST, HTTP, V4, V6, Namespace
from tests.system.peer import Peer
from tests.system.shell import Shell

Boot = Callable[..., Machine]
OWN4, OWN6 = "10.77.0.2", "fd77::2"
MAC = "52:54:00:aa:00:01"


def ok(shell: Shell, command: str, timeout: float = 120) -> str:
    rc, text = shell.run(command, timeout)
    assert rc == 0, f"{command}: {text}"
    return text


def join_tap(shell: Shell) -> None:
    """Static addresses on the tap's network; waits until duplicates are ruled out."""
    ok(shell, f"esxcli network ip interface ipv4 set -i vmk0 -t static -I {OWN4} "
              f"-N 255.255.255.0 -g {V4}")  # fmt: skip
    ok(shell, f"esxcli network ip interface ipv6 address add -i vmk0 -I {OWN6}")
    ok(shell, f"esxcli network ip dns server add -s {V4}")
    ok(shell, f"until ping -c 1 -W 1 {V6} >/dev/null; do :; done")


@pytest.mark.slow
def test_with_a_linux_peer(boot: Boot, logs: Path) -> None:
    with Namespace() as peer:
        machine = boot(cpus=2, memory=1024, arguments=peer.arguments, inside=peer.inside)
        shell = Shell(machine)
        join_tap(shell)

        # Both ways, both families.
        for address in (V4, V6):
            assert "3 packets received, 0% packet loss" in ok(shell, f"ping -c 3 {address}")
        for address in (OWN4, OWN6):
            done = peer.run(f"busybox ping -c 3 {address}")
            assert "3 packets received, 0% packet loss" in done.stdout, done

        # Unmodified clients inside, by name.
        url = f"http://peer.example:{HTTP}/"
        assert V4 in ok(shell, "nslookup peer.example")
        assert DIGEST in ok(shell, f"wget -q -T 30 -O - {url} | sha256sum")
        get = f"import sys,urllib.request as u;sys.stdout.buffer.write(u.urlopen('{url}').read())"
        assert DIGEST in ok(shell, f'python3 -c "{get}" | sha256sum')
        assert "echoed" in ok(shell, f"echo echoed | nc -w 5 {V4} 7")
        six = f"http://[{V6}]:{HTTP}/"
        assert DIGEST in ok(shell, f"wget -q -O - {six} | sha256sum")
        rc, text = shell.run(f"wget -T 2 -O /dev/null http://{OWN4.removesuffix('2')}99/ 2>&1")
        assert rc == 1 and "SIGSEGV" not in text and "Segmentation" not in text

        # Unmodified clients outside.
        ok(
            shell,
            f"mkdir -p /tmp/www && wget -q -O /tmp/www/data {url} && httpd -p 8080 -h /tmp/www",
        )
        for address in (OWN4, f"[{OWN6}]"):
            fetch = f"curl -sgf http://{address}:8080/data | sha256sum"
            assert DIGEST in peer.run(fetch).stdout

        capture(shell, peer, logs)
        cut_and_restore(machine, shell, peer)


def capture(shell: Shell, peer: Namespace, logs: Path) -> None:
    """pktcap-uw writes a file that tshark reads."""
    ok(shell, "pktcap-uw --uplink vmnic0 -c 8 -o /tmp/www/cap.pcap >/tmp/cap.log 2>&1 & "
              "until grep -q writing /tmp/cap.log; do sleep 0.2; done")  # fmt: skip
    peer.run(f"busybox ping -c 4 -s 1000 {OWN4}")
    ok(shell, "wait")
    file = logs / "cap.pcap"
    assert peer.run(f"curl -sf -o {file} http://{OWN4}:8080/cap.pcap").returncode == 0
    fields = "-T json -e icmp.type -e frame.len -e icmp.checksum.status"
    line = ["tshark", "-r", str(file), "-o", "ip.check_checksum:TRUE", *fields.split()]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    frames = [row["_source"]["layers"] for row in json.loads(done.stdout)]
    pings = [f["icmp.type"][0] for f in frames if "icmp.type" in f]
    assert len(frames) == 8 and {"8", "0"} <= set(pings)
    assert {f["frame.len"][0] for f in frames if "icmp.type" in f} == {"1042"}


def cut_and_restore(machine: Machine, shell: Shell, peer: Namespace) -> None:
    nics = shell.json("network nic list")
    assert nics[0]["LinkStatus"] == "Up" and nics[0]["MACAddress"] == "52:54:00:77:00:02"
    machine.qmp.execute("set_link", name="nic", up=False)
    ok(shell, "until esxcli network nic list | grep -q 'Up *Down'; do :; done")
    assert "100% packet loss" in peer.run(f"busybox ping -c 1 -W 1 {OWN4}").stdout
    machine.qmp.execute("set_link", name="nic", up=True)
    ok(shell, "until esxcli network nic list | grep -q 'Up *Up'; do :; done")
    assert "0% packet loss" in ok(shell, f"ping -c 1 -W 30 {V4}")


@pytest.mark.slow
def test_vlans_and_port_groups(boot: Boot) -> None:
    """A vmk NIC on VLAN 42 answers tagged frames, and only those."""
    with Peer() as wire:
        device = ("-device", f"e1000,netdev={wire.name}")
        shell = Shell(boot(cpus=1, memory=1024, arguments=(*wire.arguments, *device)))
        wire.accept()
        standard = "esxcli network vswitch standard"
        ok(shell, f"{standard} portgroup add -p lab -v vSwitch0")
        ok(shell, f"{standard} portgroup set -p lab --vlan-id 42")
        ok(shell, "esxcli network ip interface add -i vmk1 -p lab")
        ok(shell, "esxcli network ip interface ipv4 set -i vmk1 -t static -I 10.42.0.2 "
                  "-N 255.255.255.0")  # fmt: skip
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

        ok(shell, "esxcli network ip interface remove -i vmk1")
        ok(shell, f"{standard} portgroup remove -p lab -v vSwitch0")


def wait_for(wire: Peer, wanted: Callable[[Ether], bool]) -> Ether:
    while True:
        data = wire.receive(60)
        assert data is not None
        packet = Ether(data)
        if wanted(packet):
            return packet
