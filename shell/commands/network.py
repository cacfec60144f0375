# SPDX-License-Identifier: Apache-2.0
"""esxcli network ...: NICs, switches, port groups, vmk NICs, routes, name servers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from tepui.shell.command import FailedError, Opt, Role, command
from tepui.shell.netclient import Network, mac_text
from tepui.shell.output import Style, named
from tepui.shell.records import NetCounters, NetPolicy, Nic
from tepui.shell.run import Context

T = TypeVar("T")

ADMIN = Role.ADMINISTRATOR
NicName = Annotated[str, Opt("-n", "The name of the NIC.", complete="nic")]
SwitchName = Annotated[str, Opt("-v", "The name of the virtual switch.", complete="vswitch")]
GroupName = Annotated[str, Opt("-p", "The name of the port group.", complete="portgroup")]
InterfaceName = Annotated[str, Opt("-i", "The name of the vmk NIC.", complete="vmknic")]


def _up(value: int) -> str:
    return "Up" if value else "Down"


def _one(rows: list[T], wanted: Callable[[T], bool], what: str) -> T:
    for row in rows:
        if wanted(row):
            return row
    raise FailedError(f"{what}: not found")


@dataclass(frozen=True, slots=True)
class NicRow:
    name: str = named("Name")
    pci_device: str = named("PCI Device")
    driver: str = named("Driver")
    admin_status: str = named("Admin Status")
    link_status: str = named("Link Status")
    speed: int = named("Speed")
    duplex: str = named("Duplex")
    mac_address: str = named("MAC Address")
    mtu: int = named("MTU")
    description: str = named("Description")


def _nic_row(n: Nic) -> NicRow:
    duplex = "Full" if n.full_duplex else "Half"
    link = (_up(n.admin_up), _up(n.link_up), n.speed_mbps, duplex)
    return NicRow(n.name, n.pci, n.driver, *link, mac_text(n.mac), n.mtu, n.desc)


@command("network nic list", "This command will list the Physical NICs.", style=Style.TABLE)
def nic_list(ctx: Context) -> list[NicRow]:
    return [_nic_row(n) for n in Network(ctx.host).nics()]


@dataclass(frozen=True, slots=True)
class NicStats:
    packets_received: int
    packets_sent: int
    bytes_received: int
    bytes_sent: int
    receive_packets_dropped: int
    transmit_packets_dropped: int
    multicast_packets_received: int
    broadcast_packets_received: int
    multicast_packets_sent: int
    broadcast_packets_sent: int
    total_receive_errors: int
    receive_length_errors: int
    receive_crc_errors: int = named("Receive CRC errors")
    total_transmit_errors: int = named("Total transmit errors")


def _traffic(c: NetCounters) -> dict[str, int]:
    """The columns that NICs and ports share."""
    return {
        "packets_received": c.rx_packets,
        "packets_sent": c.tx_packets,
        "bytes_received": c.rx_bytes,
        "bytes_sent": c.tx_bytes,
        "receive_packets_dropped": c.rx_dropped,
        "transmit_packets_dropped": c.tx_dropped,
        "multicast_packets_received": c.rx_multicast,
        "broadcast_packets_received": c.rx_broadcast,
        "multicast_packets_sent": c.tx_multicast,
        "broadcast_packets_sent": c.tx_broadcast,
    }


@command("network nic stats get", "Get NIC statistics for a given interface.")
def nic_stats(ctx: Context, nic_name: NicName) -> NicStats:
    n = _one(Network(ctx.host).nics(), lambda n: n.name == nic_name, nic_name)
    return NicStats(
        **_traffic(n.counters),
        total_receive_errors=n.rx_errors,
        receive_length_errors=n.rx_length_errors,
        receive_crc_errors=n.rx_crc_errors,
        total_transmit_errors=n.tx_errors,
    )


@dataclass(frozen=True, slots=True)
class SwitchBlock:
    name: str
    switch_class: str = named("Class")
    num_ports: int = named("Num Ports")
    used_ports: int = named("Used Ports")
    configured_ports: int = named("Configured Ports")
    mtu: int = named("MTU")
    cdp_status: str = named("CDP Status")
    beacon_enabled: bool = named("Beacon Enabled")
    uplinks: list[str] = named("Uplinks")  # noqa: RUF009
    portgroups: list[str] = named("Portgroups")  # noqa: RUF009


@command(
    "network vswitch standard list",
    "List the virtual switches current on the ESXi host.",
    header="{Name}",
)
def switch_list(ctx: Context) -> list[SwitchBlock]:
    net = Network(ctx.host)
    groups = net.portgroups()
    return [
        SwitchBlock(
            v.name,
            "cswitch",
            v.ports_max,
            v.ports,
            v.ports_max,
            v.mtu,
            "listen",
            False,
            list(v.members),
            [g.name for g in groups if g.vswitch == v.name],
        )
        for v in net.vswitches()
    ]


@command("network vswitch standard add", "Add a new virtual switch.", role=ADMIN)
def switch_add(
    ctx: Context,
    vswitch_name: SwitchName,
    ports: Annotated[int, Opt("-P", "The number of ports.")] = 128,
) -> None:
    Network(ctx.host).vswitch_add(vswitch_name, ports)


@command("network vswitch standard remove", "Remove a virtual switch.", role=ADMIN)
def switch_remove(ctx: Context, vswitch_name: SwitchName) -> None:
    Network(ctx.host).vswitch_remove(vswitch_name)


@command("network vswitch standard set", "Set the MTU of a virtual switch.", role=ADMIN)
def switch_set(
    ctx: Context, vswitch_name: SwitchName, mtu: Annotated[int, Opt("-m", "1280 to 9000 bytes.")]
) -> None:
    Network(ctx.host).vswitch_set(vswitch_name, mtu)


UplinkName = Annotated[str, Opt("-u", "The name of the NIC.", complete="nic")]


@command("network vswitch standard uplink add", "Add an uplink to a switch.", role=ADMIN)
def uplink_add(ctx: Context, vswitch_name: SwitchName, uplink_name: UplinkName) -> None:
    Network(ctx.host).uplink_add(vswitch_name, uplink_name)


@command("network vswitch standard uplink remove", "Remove an uplink.", role=ADMIN)
def uplink_remove(ctx: Context, vswitch_name: SwitchName, uplink_name: UplinkName) -> None:
    Network(ctx.host).uplink_remove(vswitch_name, uplink_name)


@dataclass(frozen=True, slots=True)
class GroupRow:
    name: str
    virtual_switch: str
    active_clients: int
    vlan_id: int = named("VLAN ID")


@command(
    "network vswitch standard portgroup list", "List all of the port groups.", style=Style.TABLE
)
def group_list(ctx: Context) -> list[GroupRow]:
    rows = Network(ctx.host).portgroups()
    return [GroupRow(g.name, g.vswitch, g.clients, g.vlan) for g in rows]


@command("network vswitch standard portgroup add", "Add a port group.", role=ADMIN)
def group_add(ctx: Context, portgroup_name: GroupName, vswitch_name: SwitchName) -> None:
    Network(ctx.host).portgroup_add(vswitch_name, portgroup_name)


@command("network vswitch standard portgroup remove", "Remove a port group.", role=ADMIN)
def group_remove(ctx: Context, portgroup_name: GroupName, vswitch_name: SwitchName) -> None:
    Network(ctx.host).portgroup_remove(vswitch_name, portgroup_name)


@command("network vswitch standard portgroup set", "Set the VLAN of a port group.", role=ADMIN)
def group_set(
    ctx: Context,
    portgroup_name: GroupName,
    vlan_id: Annotated[int, Opt("", "0: none, 1 to 4094, 4095: every VLAN, tagged.")],
) -> None:
    Network(ctx.host).portgroup_vlan(portgroup_name, vlan_id)


@dataclass(frozen=True, slots=True)
class SecurityBlock:
    allow_promiscuous: bool
    allow_mac_address_change: bool = named("Allow MAC Address Change")
    allow_forged_transmits: bool = named("Allow Forged Transmits")


@command("network vswitch standard policy security get", "Get the security policy.")
def security_get(ctx: Context, vswitch_name: SwitchName) -> SecurityBlock:
    switches = Network(ctx.host).vswitches()
    p = _one(switches, lambda v: v.name == vswitch_name, vswitch_name).policy
    return SecurityBlock(bool(p.promiscuous), bool(p.mac_changes), bool(p.forged))


@command("network vswitch standard policy security set", "Set the security policy.", role=ADMIN)
def security_set(
    ctx: Context,
    vswitch_name: SwitchName,
    allow_promiscuous: Annotated[bool | None, Opt("-p", "Ports may see all traffic.")] = None,
    allow_mac_change: Annotated[bool | None, Opt("-m", "Guests may change MACs.")] = None,
    allow_forged_transmits: Annotated[bool | None, Opt("-f", "Any source MAC.")] = None,
) -> None:
    net = Network(ctx.host)
    p = _one(net.vswitches(), lambda v: v.name == vswitch_name, vswitch_name).policy
    new = NetPolicy(
        p.promiscuous if allow_promiscuous is None else allow_promiscuous,
        p.mac_changes if allow_mac_change is None else allow_mac_change,
        p.forged if allow_forged_transmits is None else allow_forged_transmits,
        *(0, 0, 0),  # a switch inherits nothing
    )
    net.policy_set(vswitch_name, new, portgroup=False)


@dataclass(frozen=True, slots=True)
class PortRow:
    port_id: int = named("Port ID")
    client: str = named("Client")
    portgroup: str = named("Portgroup")
    vswitch: str = named("vSwitch")
    mac_address: str = named("MAC Address")
    team_uplink: str = named("Team Uplink")


@command("network port list", "List the ports in use.", style=Style.TABLE, own=True)
def port_list(ctx: Context) -> list[PortRow]:
    return [
        PortRow(p.id, p.client, p.portgroup, p.vswitch, mac_text(p.mac), p.uplink)
        for p in Network(ctx.host).ports()
    ]


@dataclass(frozen=True, slots=True)
class PortStats:
    packets_received: int
    packets_sent: int
    bytes_received: int
    bytes_sent: int
    receive_packets_dropped: int
    transmit_packets_dropped: int
    multicast_packets_received: int
    broadcast_packets_received: int
    multicast_packets_sent: int
    broadcast_packets_sent: int


@command("network port stats get", "Packet statistics for a given port.")
def port_stats(ctx: Context, port_id: Annotated[int, Opt("-p", "The port.")]) -> PortStats:
    ports = Network(ctx.host).ports()
    port = _one(ports, lambda p: p.id == port_id, f"port {port_id}")
    return PortStats(**_traffic(port.counters))
