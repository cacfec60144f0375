# SPDX-License-Identifier: Apache-2.0
"""esxcli network ip ...: vmk NICs, their addresses, routes, name servers, connections."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated

from tepui.shell.command import Opt, Role, UsageError, command
from tepui.shell.commands.network import GroupName, InterfaceName
from tepui.shell.netclient import Mac, Network, Prefix, Vmknic, ip_text, mac_text
from tepui.shell.output import Style, named
from tepui.shell.run import Context

ADMIN = Role.ADMINISTRATOR


@dataclass(frozen=True, slots=True)
class InterfaceBlock:
    name: str
    mac_address: str = named("MAC Address")
    enabled: bool = named("Enabled")
    portset: str = named("Portset")
    portgroup: str = named("Portgroup")
    mtu: int = named("MTU")
    port_id: int = named("Port ID")


@command("network ip interface list", "List the vmk NICs.", header="{Name}")
def interface_list(ctx: Context) -> list[InterfaceBlock]:
    net = Network(ctx.host)
    switch = {g.name: g.vswitch for g in net.portgroups()}
    return [
        InterfaceBlock(
            v.name,
            mac_text(v.mac),
            bool(v.up),
            switch.get(v.portgroup, ""),
            v.portgroup,
            v.mtu,
            v.port,
        )
        for v in net.vmknics()
    ]


@command("network ip interface add", "Add a vmk NIC.", role=ADMIN)
def interface_add(
    ctx: Context,
    interface_name: InterfaceName,
    portgroup_name: GroupName,
    mac_address: Annotated[Mac | None, Opt("-M", "Its MAC address.")] = None,
) -> None:
    Network(ctx.host).vmknic_add(interface_name, portgroup_name, mac_address or "")


@command("network ip interface remove", "Remove a vmk NIC.", role=ADMIN)
def interface_remove(ctx: Context, interface_name: InterfaceName) -> None:
    Network(ctx.host).vmknic_remove(interface_name)


@dataclass(frozen=True, slots=True)
class Ipv4Row:
    name: str
    ipv4_address: str = named("IPv4 Address")
    ipv4_netmask: str = named("IPv4 Netmask")
    ipv4_broadcast: str = named("IPv4 Broadcast")
    address_type: str = named("Address Type")
    gateway: str = named("Gateway")
    dhcp_dns: bool = named("DHCP DNS")


def _broadcast(v: Vmknic) -> str:
    if not any(v.ipv4):
        return "0.0.0.0"
    return ".".join(str(a | (~m & 255)) for a, m in zip(v.ipv4, v.mask, strict=True))


@command("network ip interface ipv4 get", "IPv4 addresses of the vmk NICs.", style=Style.TABLE)
def ipv4_get(ctx: Context) -> list[Ipv4Row]:
    none = "0.0.0.0"
    return [
        Ipv4Row(
            v.name,
            ip_text(v.ipv4) or none,
            ip_text(v.mask) or none,
            _broadcast(v),
            "DHCP" if v.dhcp else "STATIC" if any(v.ipv4) else "NONE",
            ip_text(v.gateway) or none,
            bool(v.dhcp),
        )
        for v in Network(ctx.host).vmknics()
    ]


@command("network ip interface ipv4 set", "Set the IPv4 address of a vmk NIC.", role=ADMIN)
def ipv4_set(
    ctx: Context,
    interface_name: InterfaceName,
    type_: Annotated[str, Opt("-t", "static or dhcp.", name="type")],
    ipv4: Annotated[IPv4Address | None, Opt("-I", "The address.")] = None,
    netmask: Annotated[IPv4Address | None, Opt("-N", "The netmask.")] = None,
    gateway: Annotated[IPv4Address, Opt("-g", "The gateway.")] = IPv4Address(0),  # noqa: B008
) -> None:
    net = Network(ctx.host)
    if type_ == "dhcp":
        net.vmknic_dhcp(interface_name)
    elif type_ == "static" and ipv4 and netmask:
        net.vmknic_ipv4(interface_name, str(ipv4), str(netmask), str(gateway))
    else:
        raise UsageError("--type is dhcp, or static with --ipv4 and --netmask")


@dataclass(frozen=True, slots=True)
class Ipv6Row:
    interface: str
    address: str
    netmask: int
    type: str
    status: str


@command("network ip interface ipv6 address list", "IPv6 addresses of vmk NICs.", style=Style.TABLE)
def ipv6_list(ctx: Context) -> list[Ipv6Row]:
    return [
        Ipv6Row(v.name, ip.address, 64, "STATIC" if ip.manual else "AUTO", ip.state)
        for v in Network(ctx.host).vmknics()
        for ip in v.ipv6_addresses
    ]


Ipv6 = Annotated[IPv6Address, Opt("-I", "The address, of a /64 network.")]


@command("network ip interface ipv6 address add", "Add an IPv6 address to a vmk NIC.", role=ADMIN)
def ipv6_add(ctx: Context, interface_name: InterfaceName, ipv6: Ipv6) -> None:
    Network(ctx.host).vmknic_ipv6(interface_name, str(ipv6))


@command("network ip interface ipv6 address remove", "Remove an IPv6 address.", role=ADMIN)
def ipv6_remove(ctx: Context, interface_name: InterfaceName, ipv6: Ipv6) -> None:
    Network(ctx.host).vmknic_ipv6(interface_name, str(ipv6), remove=True)


@dataclass(frozen=True, slots=True)
class RouteRow:
    network: str
    netmask: str
    gateway: str
    interface: str
    source: str


@command("network ip route ipv4 list", "List configured IPv4 routes.", style=Style.TABLE)
def route_list(ctx: Context) -> list[RouteRow]:
    def mask(prefix: int) -> str:
        bits = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
        return ".".join(str(b) for b in bits.to_bytes(4, "big"))

    rows = []
    for r in Network(ctx.host).routes():
        address, _, prefix = r.network.partition("/")
        if ":" not in address:
            name = "default" if prefix == "0" else address
            gateway = r.gateway or "0.0.0.0"
            rows.append(RouteRow(name, mask(int(prefix)), gateway, r.vmknic, r.source))
    return rows


Gateway = Annotated[IPv4Address, Opt("-g", "The gateway.")]
Destination = Annotated[Prefix, Opt("-n", "ADDRESS/PREFIX or default.", name="network")]


@command("network ip route ipv4 add", "Add an IPv4 route.", role=ADMIN)
def route_add(ctx: Context, gateway: Gateway, network_: Destination) -> None:
    Network(ctx.host).route(network_, str(gateway))


@command("network ip route ipv4 remove", "Remove an IPv4 route.", role=ADMIN)
def route_remove(ctx: Context, gateway: Gateway, network_: Destination) -> None:
    Network(ctx.host).route(network_, str(gateway), remove=True)


@dataclass(frozen=True, slots=True)
class DnsBlock:
    dns_servers: list[str] = named("DNSServers")  # noqa: RUF009


@command("network ip dns server list", "List the name servers.")
def dns_list(ctx: Context) -> DnsBlock:
    return DnsBlock(Network(ctx.host).dns())


Server = Annotated[IPv4Address, Opt("-s", "The server's IPv4 address.")]


@command("network ip dns server add", "Add a name server.", role=ADMIN)
def dns_add(ctx: Context, server: Server) -> None:
    net = Network(ctx.host)
    net.dns_set([*net.dns(), str(server)])


@command("network ip dns server remove", "Remove a name server.", role=ADMIN)
def dns_remove(ctx: Context, server: Server) -> None:
    net = Network(ctx.host)
    net.dns_set([s for s in net.dns() if s != str(server)])


@dataclass(frozen=True, slots=True)
class ConnectionRow:
    proto: str
    recv_q: int = named("Recv Q")
    send_q: int = named("Send Q")
    local_address: str = named("Local Address")
    foreign_address: str = named("Foreign Address")
    state: str = named("State")


@command("network ip connection list", "List active TCP/IP connections.", style=Style.TABLE)
def connection_list(ctx: Context) -> list[ConnectionRow]:
    return [
        ConnectionRow(c.proto, c.recv_queue, c.send_queue, c.local, c.foreign, c.state)
        for c in Network(ctx.host).connections()
    ]


@dataclass(frozen=True, slots=True)
class NeighborRow:
    neighbor: str
    mac_address: str = named("Mac Address")
    vmknic: str = named("Vmknic")
    state: str = named("State")


@command("network ip neighbor list", "List ARP and ND entries.", style=Style.TABLE)
def neighbor_list(ctx: Context) -> list[NeighborRow]:
    rows = Network(ctx.host).neighbors()
    return [NeighborRow(n.address, n.mac, n.vmknic, n.state) for n in rows]
