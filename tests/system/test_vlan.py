# SPDX-License-Identifier: Apache-2.0
"""VLANs and port groups on the running host, with frames that the test makes itself."""

from collections.abc import Callable

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Dot1Q, Ether

from tests.system.machine import Machine
from tests.system.peer import Peer
from tests.system.shell import Shell

Boot = Callable[..., Machine]
MAC = "52:54:00:aa:00:01"


def ok(shell: Shell, command: str, timeout: float = 120) -> str:
    rc, text = shell.run(command, timeout)
    assert rc == 0, f"{command}: {text}"
    return text


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
