# SPDX-License-Identifier: Apache-2.0
"""The virtual switch against a model, and its offloads against scapy."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.utils import PcapReader

from tests.unit import cunit, net_unit
from tests.unit.net_unit import Frame, World

ALL = b"\xff" * 6
CSUM, TSO4, TSO6, VLAN, VOLATILE = 1, 4, 8, 16, 256
PARTIAL, PKT_TSO4, PKT_TSO6 = 1, 8, 16


def mac(n: int) -> bytes:
    return b"\x00\x0c\x29\x00\x00" + bytes([n])


def frame(dst: bytes, src: bytes, payload: bytes = b"x" * 50, tag: int | None = None) -> bytes:
    shim = b"" if tag is None else struct.pack(">HH", 0x8100, tag)
    return dst + src + shim + b"\x88\xb5" + payload


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return net_unit.build("vswitch")


@pytest.fixture
def world(unit: cunit.Unit) -> Iterator[World]:
    with World(unit) as world:
        yield world


def where(frames: list[Frame]) -> list[str]:
    return sorted(f.where for f in frames)


def test_known_goes_to_its_port_and_unknown_to_the_uplink(world: World) -> None:
    world.nic("vmnic0")
    world.port("a", "VM Network", mac(1))
    world.port("b", "Management Network", mac(2))
    assert where(world.send("a", frame(mac(2), mac(1)))) == ["b"]
    assert where(world.send("a", frame(mac(9), mac(1)))) == ["vmnic0"]
    assert where(world.send("a", frame(ALL, mac(1)))) == ["b", "vmnic0"]
    assert where(world.send("vmnic0", frame(mac(2), mac(9)))) == ["b"]
    assert where(world.send("vmnic0", frame(mac(8), mac(9)))) == []
    assert where(world.send("vmnic0", frame(ALL, mac(1)))) == []  # our own, reflected


def test_the_first_uplink_with_a_link_carries_the_traffic(world: World) -> None:
    first, _ = world.nic("vmnic0"), world.nic("vmnic1")
    world.port("a", "VM Network", mac(1))
    assert where(world.send("a", frame(ALL, mac(1)))) == ["vmnic0"]
    assert where(world.send("vmnic1", frame(mac(1), mac(9)))) == []
    world.lib.test_link(first, False)
    assert where(world.send("a", frame(ALL, mac(1)))) == ["vmnic1"]
    assert where(world.send("vmnic1", frame(mac(1), mac(9)))) == ["a"]
    world.lib.test_link(first, True)
    assert where(world.send("a", frame(ALL, mac(1)))) == ["vmnic0"]


def test_a_guest_does_not_take_anothers_address(world: World) -> None:
    """Under the strict policy, setting another's address is no way to send from it."""
    world.nic("vmnic0")
    world.group("strict", 0, (False, False, False))
    world.port("a", "strict", mac(1))
    world.port("b", "VM Network", mac(2))
    world.lib.port_set_mac(world.ports["a"], mac(2))
    assert world.send("a", frame(mac(9), mac(2))) == []
    assert where(world.send("a", frame(mac(9), mac(1)))) == ["vmnic0"]


@pytest.mark.parametrize(("mss", "passes"), [(1460, True), (1461, False), (9000, False)])
def test_a_segment_is_no_longer_than_the_mtu(world: World, mss: int, passes: bool) -> None:
    world.nic("vmnic0", TSO4 | CSUM)
    world.port("a", "VM Network", mac(1), caps=VOLATILE)
    packet = Ether(dst=mac(9), src=mac(1)) / IP(dst="10.0.0.9") / TCP() / bytes(20_000)
    data, start, offset = partial(packet)
    got = world.send(
        "a", data, 4096, flags=PARTIAL | PKT_TSO4, csum_start=start, csum_offset=offset,
        gso_size=mss,
    )  # fmt: skip
    assert where(got) == (["vmnic0"] if passes else [])


def test_segments_count_against_the_budget(world: World) -> None:
    """A bottom half hands over so many frames, not packets of any number of them."""
    world.port("a", "VM Network", mac(1), caps=VOLATILE)
    world.port("b", "VM Network", mac(2))
    packet = Ether(dst=mac(2), src=mac(1)) / IP(dst="10.0.0.9") / TCP() / bytes(6_400)
    data, start, offset = partial(packet)
    for _ in range(8):
        pkt = world.packet(
            data, 4096, flags=PARTIAL | PKT_TSO4, csum_start=start, csum_offset=offset, gso_size=64
        )
        world.lib.port_send(world.ports["a"], pkt)
    assert world.lib.seam_run_bottoms() >= 8
    assert len(world.drain()) == 8 * 100


def test_a_port_group_in_use_stays(world: World) -> None:
    world.port("a", "VM Network", mac(1))
    assert world.lib.portgroup_remove(b"vSwitch0", b"VM Network") == -16
    assert world.lib.vswitch_remove(b"vSwitch0") == -16
    with pytest.raises(OSError):
        world.port("b", "No such group", mac(2))
    with pytest.raises(OSError):
        world.port("b", "VM Network", ALL)


@dataclass
class Member:
    vlan: int
    address: bytes
    current: bytes
    promiscuous: bool = False
    policy: tuple[bool, bool, bool] = (False, False, False)
    got: list[bytes] = field(default_factory=list)

    @property
    def receives(self) -> bool:
        return self.current == self.address or self.policy[1]


VLANS = st.sampled_from([0, 0, 10, 20, 4095])
MACS = st.integers(1, 6).map(mac)
POLICY = st.tuples(st.booleans(), st.booleans(), st.booleans())
ACTION = st.tuples(
    st.integers(0, 4), st.one_of(MACS, st.just(ALL)), MACS, st.sampled_from([None, None, 0, 10, 20])
)


def expect(ports: list[Member], sender: int, dst: bytes, src: bytes, tag: int | None) -> list[str]:
    """Where the model says that a frame goes; sender len(ports) is the uplink."""
    outside = sender == len(ports)
    vid = tag or 0
    if not outside:
        port = ports[sender]
        if port.vlan not in (0, 4095) and vid == 0:
            vid = port.vlan
        elif port.vlan != 4095 and vid != 0:
            return []
        own = port.current if port.policy[1] else port.address
        if src != own and not port.policy[2]:
            return []
    elif any(p.receives and p.current == src for p in ports):
        return []
    others = [
        n for n, p in enumerate(ports) if n != sender and p.receives and p.vlan in (vid, 4095)
    ]
    if dst == ALL:
        return sorted([f"p{n}" for n in others] + ([] if outside else ["vmnic0"]))
    owners = [
        n for n, p in enumerate(ports) if p.receives and p.current == dst and p.vlan in (vid, 4095)
    ]
    to = {n for n in others if ports[n].promiscuous and ports[n].policy[0]}
    to |= {n for n in owners if n != sender}
    result = [f"p{n}" for n in to]
    if not owners and not outside:
        result.append("vmnic0")
    return sorted(result)


@given(
    st.lists(st.tuples(VLANS, POLICY, st.booleans(), st.integers(0, 3)), min_size=4, max_size=4),
    st.lists(ACTION, min_size=1, max_size=12),
)
def test_forwarding_is_as_the_model_says(
    unit: cunit.Unit,
    setup: list[tuple[int, tuple[bool, bool, bool], bool, int]],
    actions: list[tuple[int, bytes, bytes, int | None]],
) -> None:
    lib = unit.lib
    with World(unit) as world:
        world.nic("vmnic0", caps=VLAN)
        ports: list[Member] = []
        for n, (vlan, policy, promiscuous, change) in enumerate(setup):
            world.group(f"group{n}", vlan, policy)
            port = world.port(f"p{n}", f"group{n}", mac(n + 1), caps=VOLATILE)
            # A changed MAC is one that nobody else has, so the model needs no rule for duplicates.
            current = mac(n + 1) if change else mac(n + 0x40)
            lib.port_set_mac(port, current)
            lib.port_set_promisc(port, promiscuous)
            ports.append(Member(vlan, mac(n + 1), current, promiscuous, policy))
        for sender, dst, src, tag in actions:
            name = "vmnic0" if sender == 4 else f"p{sender}"
            if sender < 4 and src == mac(6):
                src = ports[sender].current
            sent = frame(dst, src, tag=tag)
            got = world.send(name, sent, piece=13)
            assert where(got) == expect(ports, sender, dst, src, tag)
            vid = (tag or 0) or (
                0 if sender == 4 or ports[sender].vlan == 4095 else ports[sender].vlan
            )
            for one in got:
                if one.where == "vmnic0":
                    assert one.vlan == (vid or None) and one.data == frame(dst, src)
                else:
                    trunk = ports[int(one.where[1:])].vlan == 4095
                    assert one.data == frame(dst, src, tag=vid if trunk and vid else None)


def valid(data: bytes) -> bool:
    """Whether scapy computes the same checksums as the frame carries."""
    again = Ether(data)
    for layer in (IP, TCP, UDP):
        if layer in again:
            del again[layer].chksum
    return bytes(again) == data


def partial(packet: Ether) -> tuple[bytes, int, int]:
    """The frame with only the pseudo-header summed, its csum_start and csum_offset."""
    data = bytearray(bytes(packet))
    v6 = IPv6 in packet
    start = 54 if v6 else 34
    offset = 16 if TCP in packet else 6
    proto = 6 if TCP in packet else 17
    addresses = data[22:54] if v6 else data[26:34]
    words = addresses + struct.pack(">HH", proto, (len(data) - start) & 0xFFFF)
    total = sum(struct.unpack(f">{len(words) // 2}H", words))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    struct.pack_into(">H", data, start + offset, total)
    return bytes(data), start, offset


NETWORKS = {
    False: IP(src="10.0.0.1", dst="10.0.0.2", id=65534),
    True: IPv6(src="fd00::1", dst="fd00::2"),
}


@given(st.booleans(), st.booleans(), st.binary(max_size=1400), st.integers(1, 200))
def test_checksums_are_completed(
    unit: cunit.Unit, v6: bool, udp: bool, payload: bytes, piece: int
) -> None:
    with World(unit) as world:
        world.nic("vmnic0")
        world.port("a", "VM Network", mac(1), caps=VOLATILE)
        world.port("able", "VM Network", mac(2), caps=CSUM)
        transport = UDP(sport=1, dport=2) if udp else TCP(sport=1, dport=2, seq=7)
        base = Ether(dst=mac(9), src=mac(1)) / NETWORKS[v6] / transport / payload
        data, start, offset = partial(base)
        fields = {"flags": PARTIAL, "csum_start": start, "csum_offset": offset}
        (got,) = world.send("a", data, piece, **fields)
        assert got.where == "vmnic0" and valid(got.data) and len(got.data) == len(data)
        (got,) = world.send("a", mac(2) + data[6:], piece, **fields)
        assert got.flags & PARTIAL and got.data == mac(2) + data[6:]


@given(st.booleans(), st.integers(1, 65000), st.integers(64, 1436), st.sampled_from([0, 10]))
@example(False, 24311, 130, 0)  # one segment's checksum is 0, which is no "none" to TCP
@example(True, 24311, 130, 0)
def test_large_segments_are_cut(unit: cunit.Unit, v6: bool, size: int, mss: int, vlan: int) -> None:
    with World(unit) as world:
        world.nic("vmnic0")
        unit.lib.portgroup_set_vlan(b"VM Network", vlan)
        world.port("a", "VM Network", mac(1), caps=VOLATILE)
        payload = bytes(n * 7 & 0xFF for n in range(size))
        network = NETWORKS[v6].copy()
        segment = TCP(sport=1, dport=2, seq=0xFFFFFF00, flags="FPAC", options=[("NOP", None)] * 4)
        data, start, offset = partial(Ether(dst=mac(9), src=mac(1)) / network / segment / payload)
        flags = PARTIAL | (PKT_TSO6 if v6 else PKT_TSO4)
        got = world.send(
            "a", data, 4096, flags=flags, csum_start=start, csum_offset=offset, gso_size=mss
        )
        joined = b""
        for n, one in enumerate(got):
            packet = Ether(one.data)
            assert valid(one.data)
            assert (packet[Dot1Q].vlan if vlan else 0) == vlan
            tcp = packet[TCP]
            assert tcp.seq == (0xFFFFFF00 + len(joined)) & 0xFFFFFFFF
            last = n == len(got) - 1
            assert ("F" in tcp.flags, "P" in tcp.flags, "C" in tcp.flags) == (last, last, n == 0)
            if not v6:
                assert packet[IP].id == (65534 + n) & 0xFFFF
            joined += bytes(tcp.payload)
            assert len(bytes(tcp.payload)) == mss or last
        assert joined == payload
        unit.lib.portgroup_set_vlan(b"VM Network", 0)


@given(
    st.binary(max_size=300),
    st.integers(0, 31),
    st.integers(0, 400),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.integers(1, 40),
)
def test_malformed_requests_harm_nobody(
    unit: cunit.Unit, tail: bytes, flags: int, start: int, offset: int, gso: int, piece: int
) -> None:
    with World(unit) as world:
        world.nic("vmnic0")
        world.port("a", "VM Network", mac(1), caps=VOLATILE)
        fields = {"flags": flags, "csum_start": start, "csum_offset": offset, "gso_size": gso}
        for data in (tail, frame(mac(9), mac(1), tail), mac(9) + mac(1) + b"\x08\x00E" + tail):
            world.send("a", data, piece, **fields)
            world.send("vmnic0", data, piece, **fields)


def test_full_rings_and_short_memory_drop_and_count(world: World) -> None:
    world.nic("vmnic0")
    world.port("a", "VM Network", mac(1), caps=VOLATILE)
    world.port("b", "VM Network", mac(2))
    stats = world.ffi.new("struct ctl_net_counters *")
    world.full |= {"b", "vmnic0"}
    assert world.send("a", frame(mac(2), mac(1))) == []
    assert world.send("a", frame(mac(9), mac(1))) == []
    world.lib.port_stats_get(world.ports["b"], stats)
    assert (stats.rx_packets, stats.rx_dropped) == (0, 1)
    world.full.clear()
    for _ in range(600):
        world.lib.port_send(world.ports["a"], world.packet(frame(mac(2), mac(1))))
    assert len(world.drain()) == 512
    world.lib.seam_fail_after(0)
    assert world.send("a", frame(mac(2), mac(1))) == []
    world.lib.seam_fail_after(-1)
    world.lib.port_stats_get(world.ports["b"], stats)
    assert (stats.rx_packets, stats.rx_dropped) == (512, 89)
    assert stats.rx_bytes == 512 * 64
    world.lib.port_stats_get(world.ports["a"], stats)
    assert (stats.tx_packets, stats.tx_dropped) == (603, 1)


def test_a_capture_is_a_pcap_stream(world: World) -> None:
    world.nic("vmnic0")
    port = world.port("a", "VM Network", mac(1))
    out = world.ffi.new("struct file **")
    assert world.lib.capture_file(b"port:1", 0, out) == -2
    assert world.lib.capture_file(f"port:{world.lib.port_id(port)}".encode(), 40, out) == 0
    from_a, to_a = frame(mac(9), mac(1)), frame(mac(1), mac(9))
    world.send("a", from_a)
    world.send("vmnic0", to_a)
    buffer = world.ffi.new("uint8_t[]", 4096)
    n = world.lib.test_read(out[0], buffer, 4096)
    stream = bytes(buffer)[:n]
    path = cunit.OUT / "capture.pcap"
    path.write_bytes(stream)
    with PcapReader(str(path)) as reader:
        packets = list(reader)
    assert [bytes(p) for p in packets] == [from_a[:40], to_a[:40]]
    assert [p.wirelen for p in packets] == [len(from_a), len(to_a)]
    assert world.lib.test_read(out[0], buffer, 4096) == -11
    world.lib.test_close(out[0])
