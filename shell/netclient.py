# SPDX-License-Identifier: Apache-2.0
"""Typed calls on the host's network (vmkernel/include/abi/net.h), over a Client's link.

Records are the ABI's own (`tepui.shell.records`); addresses in them are bytes, which `mac_text` and
`ip_text` show. Route, Connection and Neighbor hold what a command shows: text of both families.
"""

import ipaddress
import re
from typing import Any, NamedTuple

from tepui.shell import abi, records
from tepui.shell.client import Client
from tepui.shell.records import NetPolicy, Nic, Port, Portgroup

LINUX_STATES = (
    "",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RCVD",
    "FIN_WAIT_1",
    "FIN_WAIT_2",
    "TIME_WAIT",
    "CLOSED",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
)
IPV6_STATES = ("TENTATIVE", "VALID", "PREFERRED", "DUPLICATE")
ROUTE_SOURCES = ("MANUAL", "MANUAL", "DHCP")


class Mac(str):
    """An Ethernet address of one station, six octets in hex."""

    def __new__(cls, text: str) -> "Mac":
        if not re.fullmatch(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}", text) or int(text[:2], 16) & 1:
            raise ValueError(text)
        return super().__new__(cls, text.lower())


class Prefix(str):
    """ADDRESS/LENGTH without host bits, or "default"."""

    def __new__(cls, text: str) -> "Prefix":
        return super().__new__(cls, text if text == "default" else ipaddress.ip_network(text))


class Vswitch(records.Vswitch):
    __slots__ = ()

    @property
    def members(self) -> tuple[str, ...]:
        """The names of its uplinks."""
        return self.uplink[: self.uplinks]


class Ipv6(NamedTuple):
    """An IPv6 address of a vmk NIC; manual: set by hand."""

    address: str
    state: str
    manual: bool


class Vmknic(records.Vmknic):
    __slots__ = ()

    @property
    def ipv6_addresses(self) -> tuple[Ipv6, ...]:
        """States: RFC 4862; bit 2 of ipv6_state marks a manual address."""
        used = zip(self.ipv6[: self.ipv6_count], self.ipv6_state, strict=False)
        return tuple(Ipv6(ip_text(ip, True), IPV6_STATES[s & 3], s > 3) for ip, s in used)


class Route(NamedTuple):
    network: str  # 10.0.0.0/24
    gateway: str
    vmknic: str
    source: str


class Connection(NamedTuple):
    proto: str
    recv_queue: int
    send_queue: int
    local: str
    foreign: str
    state: str


class Neighbor(NamedTuple):
    address: str
    mac: str
    vmknic: str
    state: str


def mac_text(c: Any) -> str:
    return ":".join(f"{b:02x}" for b in bytes(c))


def ip_text(c: Any, v6: bool = False) -> str:
    """Text of an address; "" for all zero."""
    raw = bytes(c)[: 16 if v6 else 4]
    return str(ipaddress.ip_address(raw)) if any(raw) else ""


def _end(c: Any, v6: bool, port: int) -> str:
    host = ip_text(c, v6) or ("::" if v6 else "0.0.0.0")
    return f"[{host}]:{port}" if v6 else f"{host}:{port}"


class Network:
    """A host's network, over the Client's link."""

    def __init__(self, host: Client) -> None:
        self.host, self.op = host, host.op

    def _set(self, operation: int, struct: str, **fields: Any) -> None:
        self.host.call(operation, None, abi.pack(struct, **fields))

    def nics(self) -> list[Nic]:
        rows = self.host.pages(self.op.CTL_NET_NICS, "ctl_net_nics", "nic")
        return [Nic.of(c) for c in rows]

    def vswitches(self) -> list[Vswitch]:
        rows = self.host.pages(self.op.CTL_NET_VSWITCHES, "ctl_net_vswitches", "vswitch")
        return [Vswitch.of(c) for c in rows]

    def portgroups(self) -> list[Portgroup]:
        rows = self.host.pages(self.op.CTL_NET_PORTGROUPS, "ctl_net_portgroups", "portgroup")
        return [Portgroup.of(c) for c in rows]

    def ports(self) -> list[Port]:
        rows = self.host.pages(self.op.CTL_NET_PORTS, "ctl_net_ports", "port")
        return [Port.of(c) for c in rows]

    def vswitch_add(self, name: str, ports: int = 128, mtu: int = 1500) -> None:
        fields = {"name": name, "ports_max": ports, "mtu": mtu}
        self._set(self.op.CTL_NET_VSWITCH_ADD, "ctl_net_vswitch_set", **fields)

    def vswitch_remove(self, name: str) -> None:
        self._set(self.op.CTL_NET_VSWITCH_REMOVE, "ctl_net_name", name=name)

    def vswitch_set(self, name: str, mtu: int) -> None:
        fields = {"name": name, "mtu": mtu}
        self._set(self.op.CTL_NET_VSWITCH_SET, "ctl_net_vswitch_set", **fields)

    def _member(self, operation: int, vswitch: str, name: str) -> None:
        fields = {"vswitch": vswitch, "name": name}
        self._set(operation, "ctl_net_member", **fields)

    def uplink_add(self, vswitch: str, nic: str) -> None:
        self._member(self.op.CTL_NET_UPLINK_ADD, vswitch, nic)

    def uplink_remove(self, vswitch: str, nic: str) -> None:
        self._member(self.op.CTL_NET_UPLINK_REMOVE, vswitch, nic)

    def portgroup_add(self, vswitch: str, name: str) -> None:
        self._member(self.op.CTL_NET_PORTGROUP_ADD, vswitch, name)

    def portgroup_remove(self, vswitch: str, name: str) -> None:
        self._member(self.op.CTL_NET_PORTGROUP_REMOVE, vswitch, name)

    def portgroup_vlan(self, name: str, vlan: int) -> None:
        self._set(self.op.CTL_NET_PORTGROUP_VLAN, "ctl_net_vlan", name=name, vlan=vlan)

    def policy_set(self, name: str, policy: NetPolicy, *, portgroup: bool) -> None:
        """A switch's policy inherits nothing; a port group's does what its inherit_ members say."""
        fields = {"name": name, "portgroup": portgroup, "policy": policy._asdict()}
        self._set(self.op.CTL_NET_POLICY, "ctl_net_policy_set", **fields)

    def capture(self, what: str, snap: int = 0) -> int:
        """A descriptor that reads as a pcap stream; what: a NIC's name or "port:ID"."""
        payload = abi.pack("ctl_net_capture", what=what, snap=snap)
        return self.host.link.request(self.op.CTL_NET_CAPTURE, payload).fds[0]

    def vmknics(self) -> list[Vmknic]:
        rows = self.host.pages(self.op.CTL_NET_VMKNICS, "ctl_net_vmknics", "vmknic")
        return [Vmknic.of(c) for c in rows]

    def vmknic_add(self, name: str, portgroup: str, mac: str = "") -> None:
        fields = {"name": name, "portgroup": portgroup}
        raw = bytes.fromhex(mac.replace(":", "")) or bytes(6)
        self._set(self.op.CTL_NET_VMKNIC_ADD, "ctl_net_vmknic_add", **fields, mac=raw)

    def vmknic_remove(self, name: str) -> None:
        self._set(self.op.CTL_NET_VMKNIC_REMOVE, "ctl_net_name", name=name)

    def vmknic_dhcp(self, name: str) -> None:
        self._set(self.op.CTL_NET_VMKNIC_IPV4, "ctl_net_ipv4", name=name, dhcp=1)

    def vmknic_ipv4(self, name: str, address: str, mask: str, gateway: str = "0.0.0.0") -> None:
        raw = [ipaddress.IPv4Address(text).packed for text in (address, mask, gateway)]
        fields = dict(zip(("addr", "mask", "gateway"), raw, strict=True))
        self._set(self.op.CTL_NET_VMKNIC_IPV4, "ctl_net_ipv4", name=name, **fields)

    def vmknic_ipv6(self, name: str, address: str, *, remove: bool = False) -> None:
        operation = (
            self.op.CTL_NET_VMKNIC_IPV6_REMOVE if remove else self.op.CTL_NET_VMKNIC_IPV6_ADD
        )
        raw = ipaddress.IPv6Address(address).packed
        self._set(operation, "ctl_net_ipv6", name=name, addr=raw)

    def routes(self) -> list[Route]:
        def network(c: Any) -> str:
            raw = bytes(c.dest)[: 16 if c.v6 else 4]
            return f"{ipaddress.ip_address(raw)}/{c.prefix}"

        rows = self.host.pages(self.op.CTL_NET_ROUTES, "ctl_net_routes", "route")
        return [
            Route(network(c), ip_text(c.gateway, c.v6), abi.text(c.vmknic), ROUTE_SOURCES[c.source])
            for c in rows
        ]

    def route(self, network: str, gateway: str, *, remove: bool = False) -> None:
        """network: ADDRESS/PREFIX or "default"; raises FieldError for two families."""
        gw = ipaddress.ip_address(gateway)
        everything = "::/0" if gw.version == 6 else "0.0.0.0/0"
        net = ipaddress.ip_network(everything if network == "default" else network)
        if net.version != gw.version:
            raise abi.FieldError("network and gateway are of different families")
        operation = self.op.CTL_NET_ROUTE_REMOVE if remove else self.op.CTL_NET_ROUTE_ADD
        self._set(
            operation,
            "ctl_net_route",
            v6=net.version == 6,
            prefix=net.prefixlen,
            dest=net.network_address.packed.ljust(16, b"\0"),
            gateway=gw.packed.ljust(16, b"\0"),
        )

    def dns(self) -> list[str]:
        c = self.host.call(self.op.CTL_NET_DNS, "ctl_net_dns")
        return [ip_text(c.ipv4[i]) for i in range(c.count)]

    def dns_set(self, servers: list[str]) -> None:
        raw = [ipaddress.IPv4Address(s).packed for s in servers]
        self._set(self.op.CTL_NET_DNS_SET, "ctl_net_dns", count=len(raw), ipv4=raw)

    def connections(self) -> list[Connection]:
        rows = self.host.pages(self.op.CTL_NET_CONNECTIONS, "ctl_net_connections", "connection")
        return [
            Connection(
                "tcp" if c.proto == self.op.CTL_CONN_TCP else "udp",
                c.recv_queue,
                c.send_queue,
                _end(c.local, c.v6, c.local_port),
                _end(c.remote, c.v6, c.remote_port),
                LINUX_STATES[c.state],
            )
            for c in rows
        ]

    def neighbors(self) -> list[Neighbor]:
        rows = self.host.pages(self.op.CTL_NET_NEIGHBORS, "ctl_net_neighbors", "neighbor")
        return [
            Neighbor(
                ip_text(c.addr, c.v6),
                mac_text(c.mac),
                abi.text(c.vmknic),
                "" if c.state else "PROBE",
            )
            for c in rows
        ]
