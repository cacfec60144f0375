# SPDX-License-Identifier: Apache-2.0
"""What the network stack makes of a DHCP server's answers."""

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.unit.ip_unit import Host


def test_dhcp_gives_address_gateway_and_name_server() -> None:
    host = Host("ip-dhcp")
    sent: list[bytes] = []
    host.wire = sent.append
    kinds = []
    for _ in range(4000):
        host.step()
        while sent:
            frame = Ether(sent.pop(0))
            if DHCP not in frame:
                continue
            kind = next(o[1] for o in frame[DHCP].options if o[0] == "message-type")
            kinds.append(kind)
            reply = (
                Ether(dst=frame.src, src="02:00:00:00:00:99")
                / IP(src="10.0.0.254", dst="255.255.255.255")
                / UDP(sport=67, dport=68)
                / BOOTP(op=2, xid=frame[BOOTP].xid, yiaddr="10.0.0.77", chaddr=frame[BOOTP].chaddr)
                / DHCP(
                    options=[
                        ("message-type", 2 if kind == 1 else 5),
                        ("server_id", "10.0.0.254"),
                        ("lease_time", 3600),
                        ("subnet_mask", "255.255.255.0"),
                        ("router", "10.0.0.254"),
                        ("name_server", "10.0.0.253"),
                        "end",
                    ]
                )
            )
            host.receive(bytes(reply))
    assert kinds[:2] == [1, 3]
    assert "vmk0\t00000000\tFE00000A" in host.proc("net/route")
    assert host.proc("net/resolv.conf") == "nameserver 10.0.0.253\n"
