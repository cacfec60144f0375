# SPDX-License-Identifier: Apache-2.0
"""The configuration document: strict shapes, history, and a host that becomes what it says."""

import fcntl
import ipaddress
import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.shell import netclient, records
from tepui.shell import run as running
from tepui.shell.audit import Audit
from tepui.shell.command import Role, UsageError
from tepui.shell.commands import config
from tepui.shell.config import change, network, plain
from tepui.shell.config.document import (
    Document,
    Network,
    Ntp,
    Portgroup,
    Route,
    Security,
    Static,
    Vmknic,
    Vswitch,
)
from tepui.shell.config.store import KEPT, Store
from tepui.shell.hostd import main as hostd
from tepui.shell.link import RefusedError

SWITCHES, GROUPS, NICS = ("vSwitch0", "vSwitch1"), ("A", "B", "C"), ("vmnic0", "vmnic1", "vmnic2")
NO = Security(False, False, False)
NO_TRAFFIC = records.NetCounters(*[0] * 10)
own = st.booleans()


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Any network that the vmkernel can have."""
    names = draw(st.lists(st.sampled_from(SWITCHES), unique=True, min_size=1))
    nics = draw(st.permutations(NICS))
    cut = draw(st.integers(0, 3))
    uplinks = [tuple(nics[:cut]), tuple(nics[cut:])]
    switches = tuple(
        Vswitch(
            n,
            128,
            draw(st.sampled_from([1500, 9000])),
            uplinks[i],
            Security(draw(own), True, False),
        )
        for i, n in enumerate(names)
    )
    groups = tuple(
        Portgroup(g, draw(st.sampled_from(names)), draw(st.integers(0, 4095)),
                  draw(st.sampled_from([Security(), NO])))
        for g in draw(st.lists(st.sampled_from(GROUPS), unique=True, min_size=1))
    )  # fmt: skip
    vmknics = tuple(
        Vmknic(f"vmk{n}", draw(st.sampled_from([g.name for g in groups])), f"00:50:56:00:00:0{n}",
               dhcp=kind == 1, ipv4=Static(f"10.0.{n}.1", "255.255.255.0") if kind == 2 else None,
               ipv6=tuple(f"fd00::{n + 1}:{i + 1}" for i in range(draw(st.integers(0, 2)))))
        for n, kind in enumerate(draw(st.lists(st.integers(0, 2), max_size=3)))
    )  # fmt: skip
    routes = tuple(
        Route(f"10.9.{n}.0/24", "10.0.0.2") for n in draw(st.sets(st.integers(0, 3), max_size=2))
    )
    dns = () if any(v.dhcp for v in vmknics) else ("10.0.0.3",) * draw(st.integers(0, 1))
    return Network(switches, groups, vmknics, routes, dns)


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


class Host:
    """The calls of netclient.Network on a Network held here, as strict as the vmkernel."""

    def __init__(self, held: Network) -> None:
        self.s = {v.name: v for v in held.vswitches}
        self.g = {g.name: g for g in held.portgroups}
        self.v = {v.name: v for v in held.vmknics}
        self.r, self.d = list(held.routes), list(held.dns)

    def held(self) -> Network:
        """Sorted: the order in which things were made is nobody's concern."""

        def by_name(rows: Any) -> Any:
            return tuple(sorted(rows, key=lambda row: row.name))

        routes = tuple(sorted(self.r, key=lambda r: r.network))
        parts = by_name(self.s.values()), by_name(self.g.values()), by_name(self.v.values())
        return Network(*parts, routes, tuple(self.d))

    @staticmethod
    def check(good: bool, number: int = 16) -> None:
        if not good:
            raise RefusedError(number, "")

    def vswitches(self) -> list[netclient.Vswitch]:
        return [
            netclient.Vswitch(
                s.name, s.ports, 0, s.mtu, len(s.uplinks),
                (*s.uplinks, *[""] * (8 - len(s.uplinks))), "", network._policy(s.security),
            )
            for s in self.s.values()
        ]  # fmt: skip

    def portgroups(self) -> list[records.Portgroup]:
        return [
            records.Portgroup(g.name, g.vswitch, g.vlan, 0, network._policy(g.security))
            for g in self.g.values()
        ]

    def vmknics(self) -> list[netclient.Vmknic]:
        return [
            netclient.Vmknic(
                v.name, v.portgroup, bytes.fromhex(v.mac.replace(":", "")), v.dhcp, 1, 1500, 0,
                packed(v.ipv4.address if v.ipv4 else "10.0.2.15" if v.dhcp else "0.0.0.0"),
                packed("255.255.255.0"), bytes(4), 1 + len(v.ipv6),
                (packed("fe80::1"), *map(packed, v.ipv6), *[bytes(16)] * (3 - len(v.ipv6))),
                bytes((2, *[6] * len(v.ipv6))), NO_TRAFFIC,
            )
            for v in self.v.values()
        ]  # fmt: skip

    def routes(self) -> list[netclient.Route]:
        interface = netclient.Route("10.0.0.0/24", "", "vmk0", "MANUAL")
        return [interface, *(netclient.Route(r.network, r.gateway, "", "MANUAL") for r in self.r)]

    def dns(self) -> list[str]:
        return self.d

    def dns_set(self, servers: list[str]) -> None:
        self.d = servers

    def route(self, net: str, gateway: str, *, remove: bool = False) -> None:
        (self.r.remove if remove else self.r.append)(Route(net, gateway))

    def vswitch_add(self, name: str, ports: int, mtu: int) -> None:
        self.check(name not in self.s)
        self.s[name] = Vswitch(name, ports, mtu, (), NO)

    def vswitch_remove(self, name: str) -> None:
        users = [v for v in self.v.values() if self.g[v.portgroup].vswitch == name]
        self.check(not users)
        self.g = {k: g for k, g in self.g.items() if g.vswitch != name}
        del self.s[name]

    def vswitch_set(self, name: str, mtu: int) -> None:
        self.s[name] = replace(self.s[name], mtu=mtu)

    def uplink_add(self, name: str, nic: str) -> None:
        self.check(all(nic not in s.uplinks for s in self.s.values()))
        self.s[name] = replace(self.s[name], uplinks=(*self.s[name].uplinks, nic))

    def uplink_remove(self, name: str, nic: str) -> None:
        self.check(nic in self.s[name].uplinks)
        left = tuple(n for n in self.s[name].uplinks if n != nic)
        self.s[name] = replace(self.s[name], uplinks=left)

    def portgroup_add(self, vswitch: str, name: str) -> None:
        self.check(vswitch in self.s and name not in self.g)
        self.g[name] = Portgroup(name, vswitch)

    def portgroup_remove(self, vswitch: str, name: str) -> None:
        self.check(all(v.portgroup != name for v in self.v.values()))
        del self.g[name]

    def portgroup_vlan(self, name: str, vlan: int) -> None:
        self.g[name] = replace(self.g[name], vlan=vlan)

    def policy_set(self, name: str, policy: records.NetPolicy, *, portgroup: bool) -> None:
        rows: Any = self.g if portgroup else self.s
        rows[name] = replace(rows[name], security=network._security(policy))

    def vmknic_add(self, name: str, portgroup: str, mac: str) -> None:
        self.check(portgroup in self.g and name not in self.v)
        self.v[name] = Vmknic(name, portgroup, mac)

    def vmknic_remove(self, name: str) -> None:
        del self.v[name]

    def vmknic_dhcp(self, name: str) -> None:
        self.v[name] = replace(self.v[name], dhcp=True, ipv4=None)
        self.d = []

    def vmknic_ipv4(self, name: str, address: str, mask: str, gateway: str) -> None:
        static = Static(address, mask, gateway)
        self.v[name] = replace(self.v[name], dhcp=False, ipv4=static)

    def vmknic_ipv6(self, name: str, address: str, *, remove: bool = False) -> None:
        old = self.v[name].ipv6
        new = tuple(a for a in old if a != address) if remove else (*old, address)
        self.v[name] = replace(self.v[name], ipv6=new)


@given(networks(), networks())
def test_a_host_becomes_what_the_document_says(have: Network, want: Network) -> None:
    host: Any = Host(have)
    assert network.apply(host, want) == []
    assert Host(network.capture(host)).held() == host.held() == Host(want).held()


def test_what_is_refused_is_told_and_the_rest_is_done() -> None:
    host: Any = Host(Network((Vswitch("vSwitch0", uplinks=("vmnic0",)),)))
    want = Network((Vswitch("vSwitch0", ports=64), Vswitch("vSwitch1")), (Portgroup("A", "none"),))
    host.portgroup_vlan = host.policy_set = lambda *_, **__: None
    problems = network.apply(host, want)
    assert problems[0] == "vSwitch0: has 128 ports as long as it lives" and len(problems) == 2
    assert host.s["vSwitch1"] and host.s["vSwitch0"].uplinks == ()


@given(networks())
def test_a_document_survives_json_and_its_schema_knows_it(held: Network) -> None:
    document = Document(network=held, ntp=Ntp(True, ("pool.ntp.org",)))
    text = json.dumps(plain.plain(document))
    assert plain.build(Document, json.loads(text)) == document
    schema = plain.schema(Document)
    assert set(schema["properties"]) == set(json.loads(text)) and not schema["required"]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "Document: an object"),
        ({"ssh": {"enabled": 1}}, "Document.ssh.enabled: bool"),
        ({"sshd": {}}, "unknown key sshd"),
        ({"version": 2}, "Document.version: 1 to 1"),
        ({"hostname": "a b"}, "Document.hostname: letters"),
        ({"network": {"vswitches": [{"mtu": 1500}]}}, r"vswitches\[0\].name is missing"),
        ({"network": {"vswitches": [{"name": "s", "mtu": 99}]}}, "1280 to 9000"),
        ({"network": {"dns": ["ten"]}}, "Document.network.dns"),
        ({"ntp": {"servers": "x"}}, "Document.ntp.servers: a list"),
    ],
)
def test_what_is_no_document(value: object, problem: str) -> None:
    with pytest.raises(plain.ShapeError, match=problem):
        plain.build(Document, value)


def test_history(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.current().number == 0 and [r.number for r in store.revisions()] == [0]
    for n in range(KEPT + 5):
        revision = store.save(Document(hostname=f"h{n}"), "root", f"step {n}")
        assert revision == store.save(Document(hostname=f"h{n}"), "root", "the same again")
    numbers = [r.number for r in store.revisions()]
    assert numbers == list(range(5, KEPT + 6))  # the current one and KEPT before it
    found = store.find(7)
    assert found and found.document.hostname == "h6" and found.reason == "step 6"
    store.path.write_text("{")
    with pytest.raises(plain.ShapeError):
        store.current()


def test_places_in_the_document() -> None:
    value = {"a": [{"name": "x", "b": 1}, {"name": "y", "b": 2}], "c": [], "d": {}}
    assert config.flat(value) == {"a.x.b": "1", "a.y.b": "2", "c": "[]", "d": "{}"}
    assert config.step(value["a"], "y") == (value["a"], 1)
    assert config.step(["p"], "0") == (["p"], 0)
    for word in ("z", "7"):
        with pytest.raises(UsageError):
            config.step(value["a"], word)


def test_a_host_that_starts_and_a_command_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a start would take back what the document does not have yet."""
    seen = []

    def locked(*_: Any) -> list[str]:
        descriptor = os.open(tmp_path / "config.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(False)
        except BlockingIOError:
            seen.append(True)
        finally:
            os.close(descriptor)
        return []

    monkeypatch.setenv("TEPUI_STATE", str(tmp_path))
    monkeypatch.setenv("TEPUI_RUN", str(tmp_path))
    monkeypatch.setattr(hostd, "Client", lambda: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(change, "apply", locked)
    hostd.at_boot()
    monkeypatch.setattr(network, "capture", lambda _: Network())
    words: Any = SimpleNamespace(
        path=("network", "x"), role=Role.ADMINISTRATOR, name="network x", params=(), function=locked
    )
    host: Any = SimpleNamespace(op=None)
    running.invoke(words, running.Context(host, audit=Audit(tmp_path / "audit.log")), {})
    assert seen == [True, True]
    assert Store().current().reason == "network x"
