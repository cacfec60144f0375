# SPDX-License-Identifier: Apache-2.0
"""What a person or a kickstart file chose, as the configuration document of the installed host."""

from dataclasses import replace

from tepui.iso.kickstart import Network
from tepui.shell import netclient
from tepui.shell.config import document
from tepui.shell.config.document import Document, Static
from tepui.shell.records import Nic

MANAGEMENT, FOR_GUESTS = "Management Network", "VM Network"


class SettingsError(Exception):
    """A choice that does not fit this machine; for people."""


def uplink(device: str, nics: list[Nic]) -> str:
    """The NIC that a name or a MAC address means. Raises SettingsError."""
    for nic in nics:
        if device.lower() in (nic.name, netclient.mac_text(nic.mac)):
            return nic.name
    raise SettingsError(
        f"network: no device '{device}'; there are: {', '.join(n.name for n in nics)}"
    )


def build(chosen: Network, running: document.Network, nics: list[Nic]) -> Document:
    """The document; `running` is the network that the vmkernel made by itself. It stays null where
    nothing differs from that. Raises SettingsError."""
    network = running
    if chosen.device:
        switches = tuple(
            replace(v, uplinks=(uplink(chosen.device, nics),)) if i == 0 else v
            for i, v in enumerate(running.vswitches)
        )
        network = replace(network, vswitches=switches)
    groups = tuple(
        replace(g, vlan=chosen.vlan) if g.name == MANAGEMENT else g
        for g in running.portgroups
        if chosen.vm_port_group or g.name != FOR_GUESTS
    )
    network = replace(network, portgroups=groups)
    if not chosen.dhcp:
        static = Static(chosen.address, chosen.netmask, chosen.gateway or "0.0.0.0")
        nics_ = tuple(
            replace(v, dhcp=False, ipv4=static) if i == 0 else v
            for i, v in enumerate(running.vmknics)
        )
        network = replace(network, vmknics=nics_, dns=chosen.nameservers)
    made = Document(network=network if network != running else None)
    return replace(made, hostname=chosen.hostname) if chosen.hostname else made
