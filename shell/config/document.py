# SPDX-License-Identifier: Apache-2.0
"""What the configuration document says. Names are those of esxcli; addresses are text."""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

VERSION = 1
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62})")


def _within(low: int, high: int) -> Callable[[int], None]:
    def check(value: int) -> None:
        if not low <= value <= high:
            raise ValueError(f"{low} to {high}, not {value}")

    return check


def _short(value: str) -> None:
    if not 0 < len(value.encode()) < 64:
        raise ValueError("1 to 63 bytes")


def host_name(value: str) -> None:
    if not all(LABEL.fullmatch(part) for part in value.split(".")):
        raise ValueError("letters, digits and - between dots")


def _each(check: Callable[[str], Any]) -> Callable[[tuple[str, ...]], None]:
    def every(values: tuple[str, ...]) -> None:
        for value in values:
            check(value)

    return every


def checked(check: Callable[[Any], Any], **default: Any) -> Any:
    return field(metadata={"check": check}, **default)


@dataclass(frozen=True, slots=True)
class Security:
    """null: as the switch has it (port groups only)."""

    promiscuous: bool | None = None
    mac_changes: bool | None = None
    forged_transmits: bool | None = None


@dataclass(frozen=True, slots=True)
class Vswitch:
    name: str = checked(_short)
    ports: int = checked(_within(1, 4096), default=128)
    mtu: int = checked(_within(1280, 9000), default=1500)
    uplinks: tuple[str, ...] = ()
    security: Security = Security(False, False, False)


@dataclass(frozen=True, slots=True)
class Portgroup:
    name: str = checked(_short)
    vswitch: str = checked(_short)
    vlan: int = checked(_within(0, 4095), default=0)
    security: Security = Security()


@dataclass(frozen=True, slots=True)
class Static:
    address: str = checked(ipaddress.IPv4Address)
    netmask: str = checked(ipaddress.IPv4Address)
    gateway: str = checked(ipaddress.IPv4Address, default="0.0.0.0")


@dataclass(frozen=True, slots=True)
class Vmknic:
    """ipv4: null is none unless dhcp is true."""

    name: str = checked(_short)
    portgroup: str = checked(_short)
    mac: str = ""
    dhcp: bool = False
    ipv4: Static | None = None
    ipv6: tuple[str, ...] = checked(_each(ipaddress.IPv6Address), default=())


@dataclass(frozen=True, slots=True)
class Route:
    network: str = checked(ipaddress.ip_network)
    gateway: str = checked(ipaddress.ip_address)


@dataclass(frozen=True, slots=True)
class Network:
    vswitches: tuple[Vswitch, ...] = ()
    portgroups: tuple[Portgroup, ...] = ()
    vmknics: tuple[Vmknic, ...] = ()
    routes: tuple[Route, ...] = ()
    dns: tuple[str, ...] = checked(_each(ipaddress.IPv4Address), default=())


@dataclass(frozen=True, slots=True)
class Ntp:
    enabled: bool = False
    servers: tuple[str, ...] = checked(_each(host_name), default=())


@dataclass(frozen=True, slots=True)
class Ssh:
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """network null: as the vmkernel makes it at boot."""

    version: int = checked(_within(VERSION, VERSION), default=VERSION)
    hostname: str = checked(host_name, default="tepui")
    ssh: Ssh = Ssh()
    ntp: Ntp = Ntp()
    network: Network | None = None
