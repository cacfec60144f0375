# SPDX-License-Identifier: Apache-2.0
"""The virtio network driver against a device in Python: frames, offloads, faults, removal."""

import random
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import cunit
from tests.unit.models.bench import TICK, Driven, no_leaks, probe_with_little_memory
from tests.unit.models.nic import CSUM_PARTIAL, CSUM_VALID, HEADERS, SOURCES, TSO4, Nic
from tests.unit.models.virtio import F_EVENT_IDX, F_VERSION_1, N_ALL, VirtioNet

NEEDS_CSUM, DATA_VALID = 1, 2


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    drivers = ("net/virtio_net", "net/virtio_net_io", "virtio/virtio_pci", "virtio/virtqueue")
    return cunit.build(
        "virtio_net",
        sources=[*(f"drivers/{name}.c" for name in drivers), *SOURCES],
        headers=HEADERS,
        cdef="extern struct hcl_driver driver_virtio_net;",
    )


class Setup(Driven):
    def __init__(self, unit: cunit.Unit, **model: Any) -> None:
        super().__init__(unit, "virtio_net", vectors=6)
        self.model = VirtioNet(self.bench, **model)
        self.model.plug(self)


@contextmanager
def attached(unit: cunit.Unit, **options: Any) -> Iterator[tuple[VirtioNet, Nic, Setup]]:
    setup = Setup(unit, **options)
    with setup.attached():
        yield setup.model, Nic(setup), setup
    assert not unit.lib.uplink_find(b"vmnic0")


def frame(size: int, seed: int = 0) -> bytes:
    return bytes.fromhex("525400123456525400123457") + random.Random(seed).randbytes(size - 12)


def header(flags: int = 0, gso: int = 0, length: int = 0, size: int = 0, start: int = 0) -> bytes:
    return struct.pack("<BBHHHH", flags, gso, length, size, start, 16)


def fill(nic: Nic) -> None:
    """Sends until the ring takes no more."""
    while nic.send(frame(60)) == 0:
        pass
    nic.bench.run()


@pytest.mark.parametrize("pairs", [1, 2])
def test_what_it_says_of_itself(unit: cunit.Unit, pairs: int) -> None:
    with attached(unit, pairs=pairs) as (device, nic, _):
        assert bytes(nic.uplink.mac) == bytes.fromhex("525400123456")
        assert (nic.uplink.tx_queues, nic.uplink.mtu_max, nic.uplink.link_up) == (pairs, 1500, True)
        assert device.commands == ([b"\4\0\2\0"] if pairs == 2 else [])
        for up in (False, True):
            device.set_link(up)
            nic.bench.fire(0)
            nic.bench.run()
            assert nic.uplink.link_up == up


@given(
    sizes=st.lists(st.integers(14, 9018), min_size=1, max_size=60),
    seed=st.integers(0, 2**32),
    events=st.booleans(),
)
@settings(max_examples=50)
def test_frames_of_any_size_both_ways(
    unit: cunit.Unit, sizes: list[int], seed: int, events: bool
) -> None:
    frames = [frame(size, seed + n) for n, size in enumerate(sizes)]
    features = F_VERSION_1 | N_ALL | (F_EVENT_IDX if events else 0)
    with attached(unit, features=features) as (device, nic, _):
        for data in frames:
            assert nic.send(data) == 0
            assert device.receive(data)
            assert nic.taken() == [data]
        assert [data for _, data in device.sent] == frames


def test_offloads(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        members = {"csum_start": 34, "csum_offset": 16, "hdr_len": 54, "gso_size": 1460}
        big = frame(20054)
        assert nic.send(big, CSUM_PARTIAL | TSO4, **members) == 0
        assert device.sent[0] == (header(NEEDS_CSUM, 1, 54, 1460, 34) + b"\0\0", big)
        device.receive(big, header(NEEDS_CSUM, 1, 54, 1460, 34))
        device.receive(frame(90), header(DATA_VALID))
        nic.bench.run()
        assert [(f.flags, f.gso_size) for f in nic.received] == [
            (CSUM_PARTIAL | TSO4, 1460), (CSUM_VALID, 0),
        ]  # fmt: skip
        assert nic.received[0].data == big


def test_filters(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        ops, uplink = nic.uplink.ops, nic.uplink
        assert ops.set_mode(uplink, True, False) == 0
        mac = unit.ffi.new("uint8_t[2][6]", [[1, 0, 0x5E, 0, 0, n] for n in (1, 2)])
        assert ops.set_multicast(uplink, mac, 2) == 0
        table = struct.pack("<II", 0, 2) + bytes(unit.ffi.buffer(mac))
        assert device.commands == [b"\0\0\1", b"\0\1\0", b"\1\0" + table]
        device.ack = 1
        assert ops.set_mode(uplink, True, True) == -5
        device.silent = True
        assert ops.set_mode(uplink, True, True) == -110


@given(order=st.randoms(use_true_random=False), count=st.integers(1, 400))
@settings(max_examples=30)
def test_sent_in_any_order(unit: cunit.Unit, order: Any, count: int) -> None:
    with attached(unit) as (device, nic, _):
        device.held, accepted = [], 0
        for n in range(count):
            accepted += nic.send(frame(60, n)) == 0
            if order.random() < 0.4 and device.held:
                device.execute(*device.held.pop(order.randrange(len(device.held))))
            if order.random() < 0.1:
                nic.bench.fire(order.randrange(4))
            nic.bench.run()
        while device.held:
            device.execute(*device.held.pop())
        nic.bench.run()
        assert len(device.sent) == accepted and nic.uplink.stats.tx_packets == accepted


@given(
    frames=st.lists(
        st.tuples(st.binary(min_size=12, max_size=80), st.integers(0, 2**32 - 1)), max_size=60
    )
)
@settings(max_examples=80)
def test_malformed_buffers(unit: cunit.Unit, frames: list[tuple[bytes, int]]) -> None:
    """Any header, any length, any number of buffers: dropped, or sane; the ring never runs dry."""
    with attached(unit) as (device, nic, _):
        for content, length in frames:
            found = device.buffer(0)
            assert found, "the driver gives each buffer back"
            device.bench.store(found[1][0], content)
            device.finish(0, found[0], length)
            nic.bench.run()
        for f in nic.received:
            assert 14 <= len(f.data) <= 20 * 4096
        nic.received.clear()
        assert device.receive(frame(60)) and nic.taken() == [frame(60)]


@pytest.mark.parametrize(
    ("index", "head"), [(0, 300), (0, 0xFFFFFFFF), (1, 300), (1, 0xFFFFFFFF), (1, 0), (1, 127)]
)
def test_used_entry_for_no_chain(unit: cunit.Unit, index: int, head: int) -> None:
    """Nonsense in a ring resets the device, which then works, filters and all."""
    with attached(unit) as (device, nic, setup):
        assert nic.uplink.ops.set_mode(nic.uplink, True, True) == 0
        device.finish(index, head, 72)
        device.commands.clear()
        setup.bench.fire(1 + index)
        nic.send(frame(60))
        nic.bench.run()
        assert device.resets == 1 and device.commands == [b"\0\0\1", b"\0\1\1"]
        device.sent.clear()
        nic.received.clear()
        assert nic.send(frame(61)) == 0 and device.receive(frame(62))
        assert (device.sent[0][1], nic.taken()) == (frame(61), [frame(62)])


def test_a_device_that_asks_for_a_reset(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        device.status |= 0x40
        nic.bench.fire(0)
        nic.bench.run()
        assert device.resets == 1 and nic.send(frame(60)) == 0 and len(device.sent) == 1


def test_a_device_that_stops_sending_is_reset(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        device.silent = True
        fill(nic)
        assert device.resets == 0, "a full ring alone is no fault"
        unit.lib.seam_advance(11 * TICK)
        assert nic.send(frame(60)) != 0
        device.silent = False
        nic.bench.run()
        assert device.resets == 1 and nic.send(frame(60)) == 0 and nic.uplink.link_up


def test_a_device_that_breaks_again_and_again_is_given_up(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, setup):
        for _ in range(6):
            if device.rings[0].used:
                device.finish(0, 300, 72)
                setup.bench.fire(1)
            nic.bench.run()
        assert device.resets <= 5 and not nic.uplink.link_up and nic.send(frame(60)) != 0


@pytest.mark.parametrize("told", [True, False])
def test_surprise_removal(unit: cunit.Unit, told: bool) -> None:
    with attached(unit) as (device, nic, setup):
        device.silent = True
        for n in range(50):
            assert nic.send(frame(60, n)) == 0
        if told:
            setup.vanish()
        else:
            setup.bench.dead = True
        nic.send(frame(60))
        for vector in range(4):
            setup.bench.fire(vector)
        nic.bench.run()
        unit.lib.seam_advance(11 * TICK)
        nic.send(frame(60))
        nic.bench.run()


@pytest.mark.parametrize("fault", ["never_reset", "dead"])
def test_probe_fails_cleanly(unit: cunit.Unit, fault: str) -> None:
    setup = Setup(unit)
    setup.bench.dead = fault == "dead"
    setup.model.never_reset, setup.model.status = fault == "never_reset", 1
    with no_leaks(unit):
        assert setup.probe() < 0


def test_probe_without_memory(unit: cunit.Unit) -> None:
    probe_with_little_memory(unit, lambda: Setup(unit, pairs=2), 24)


def test_no_memory_for_what_arrives(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        unit.lib.seam_fail_after(0)
        for n in range(600):
            assert device.receive(frame(60, n))
            nic.bench.run()
        assert not nic.received
        unit.lib.seam_fail_after(-1)
        assert device.receive(frame(60)) and nic.taken() == [frame(60)]
