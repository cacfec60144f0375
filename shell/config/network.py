# SPDX-License-Identifier: Apache-2.0
"""The network of a running host as a section of the document, and the way from one to another."""

from collections.abc import Callable
from typing import Any

from tepui.shell import netclient
from tepui.shell.config.document import (
    Network,
    Portgroup,
    Route,
    Security,
    Static,
    Vmknic,
    Vswitch,
)
from tepui.shell.link import RefusedError
from tepui.shell.records import NetPolicy


def _security(p: NetPolicy) -> Security:
    return Security(
        None if p.inherit_promiscuous else bool(p.promiscuous),
        None if p.inherit_mac_changes else bool(p.mac_changes),
        None if p.inherit_forged else bool(p.forged),
    )


def _policy(s: Security) -> NetPolicy:
    a, b, c = s.promiscuous, s.mac_changes, s.forged_transmits
    return NetPolicy(bool(a), bool(b), bool(c), a is None, b is None, c is None)


def _vmknic(v: netclient.Vmknic) -> Vmknic:
    given = any(v.ipv4) and not v.dhcp
    texts = (netclient.ip_text(ip) for ip in (v.ipv4, v.mask, v.gateway))
    static = Static(*(text or "0.0.0.0" for text in texts)) if given else None
    ipv6 = tuple(ip.address for ip in v.ipv6_addresses if ip.manual)
    return Vmknic(v.name, v.portgroup, netclient.mac_text(v.mac), bool(v.dhcp), static, ipv6)


def capture(net: netclient.Network) -> Network:
    """What the host runs with now."""
    vmknics = tuple(_vmknic(v) for v in net.vmknics())
    own_dns = not any(v.dhcp for v in vmknics)
    return Network(
        tuple(
            Vswitch(v.name, v.ports_max, v.mtu, v.members, _security(v.policy))
            for v in net.vswitches()
        ),
        tuple(Portgroup(g.name, g.vswitch, g.vlan, _security(g.policy)) for g in net.portgroups()),
        vmknics,
        tuple(Route(r.network, r.gateway) for r in net.routes() if not r.vmknic),
        tuple(net.dns()) if own_dns else (),
    )


class Applier:
    """One way from what a host runs with to what it shall have. A step that the vmkernel refuses is
    noted in `problems`; the others are done."""

    def __init__(self, net: netclient.Network, desired: Network) -> None:
        self.net, self.current, self.desired = net, capture(net), desired
        self.problems: list[str] = []
        self.gone: set[str] = set()  # vmk NICs

    def run(self) -> list[str]:
        self._take_down()
        self._switches()
        self._groups()
        self._vmknics()
        for r in self._new(self.desired.routes, self.current.routes):
            self._do(f"route {r.network}", self.net.route, r.network, r.gateway)
        if self.desired.dns != self.current.dns and not any(v.dhcp for v in self.desired.vmknics):
            self._do("dns", self.net.dns_set, list(self.desired.dns))
        return self.problems

    def _do(self, what: str, step: Callable[..., None], *args: Any, **options: Any) -> None:
        try:
            step(*args, **options)
        except RefusedError as e:
            self.problems.append(f"{what}: {e}")

    @staticmethod
    def _new(desired: Any, current: Any) -> list[Any]:
        return [w for w in desired if w not in current]

    def _take_down(self) -> None:
        """What must go, users before what they use."""
        desired, current, net = self.desired, self.current, self.net
        groups = {(g.name, g.vswitch) for g in desired.portgroups}
        stay = {g.name for g in current.portgroups if (g.name, g.vswitch) in groups}
        wanted = {v.name: v for v in desired.vmknics}
        for v in current.vmknics:
            new = wanted.get(v.name)
            if new is None or v.portgroup not in stay or self._other(v, new):
                self._do(v.name, net.vmknic_remove, v.name)
                self.gone.add(v.name)
        for r in self._new(current.routes, desired.routes):
            self._do(f"route {r.network}", net.route, r.network, r.gateway, remove=True)
        for g in current.portgroups:
            if (g.name, g.vswitch) not in groups:
                self._do(g.name, net.portgroup_remove, g.vswitch, g.name)
        uplinks = {s.name: s.uplinks for s in desired.vswitches}
        for s in current.vswitches:
            if s.name not in uplinks:
                self._do(s.name, net.vswitch_remove, s.name)
            elif s.uplinks != uplinks[s.name]:
                for nic in s.uplinks:
                    self._do(f"{s.name} {nic}", net.uplink_remove, s.name, nic)

    @staticmethod
    def _other(current: Vmknic, desired: Vmknic) -> bool:
        """Whether one cannot become the other where it stands."""
        if (current.portgroup, current.mac) != (desired.portgroup, desired.mac or current.mac):
            return True
        addressed = current.dhcp or current.ipv4 is not None
        return addressed and not desired.dhcp and desired.ipv4 is None

    def _switches(self) -> None:
        current = {s.name: s for s in self.current.vswitches}
        for s in self.desired.vswitches:
            old = current.get(s.name)
            if old is None:
                self._do(s.name, self.net.vswitch_add, s.name, s.ports, s.mtu)
            elif old.ports != s.ports:
                self.problems.append(f"{s.name}: has {old.ports} ports as long as it lives")
            if old is None or old.uplinks != s.uplinks:
                for nic in s.uplinks:
                    self._do(f"{s.name} {nic}", self.net.uplink_add, s.name, nic)
            if old is not None and old.mtu != s.mtu:
                self._do(s.name, self.net.vswitch_set, s.name, s.mtu)
            if old is None or old.security != s.security:
                self._do(s.name, self.net.policy_set, s.name, _policy(s.security), portgroup=False)

    def _groups(self) -> None:
        for g in self._new(self.desired.portgroups, self.current.portgroups):
            old = next((o for o in self.current.portgroups if o.name == g.name), None)
            if old is None or old.vswitch != g.vswitch:
                self._do(g.name, self.net.portgroup_add, g.vswitch, g.name)
            self._do(g.name, self.net.portgroup_vlan, g.name, g.vlan)
            self._do(g.name, self.net.policy_set, g.name, _policy(g.security), portgroup=True)

    def _vmknics(self) -> None:
        current = {v.name: v for v in self.current.vmknics if v.name not in self.gone}
        for v in self._new(self.desired.vmknics, current.values()):
            old = current.get(v.name)
            if old is None:
                self._do(v.name, self.net.vmknic_add, v.name, v.portgroup, v.mac)
                old = Vmknic(v.name, v.portgroup)
            if v.dhcp and not old.dhcp:
                self._do(v.name, self.net.vmknic_dhcp, v.name)
            elif v.ipv4 and v.ipv4 != old.ipv4:
                i = v.ipv4
                self._do(v.name, self.net.vmknic_ipv4, v.name, i.address, i.netmask, i.gateway)
            for address in self._new(old.ipv6, v.ipv6):
                self._do(v.name, self.net.vmknic_ipv6, v.name, address, remove=True)
            for address in self._new(v.ipv6, old.ipv6):
                self._do(v.name, self.net.vmknic_ipv6, v.name, address)


def apply(net: netclient.Network, desired: Network) -> list[str]:
    """Changes the running network to `desired`; what could not be done, for people."""
    return Applier(net, desired).run()
