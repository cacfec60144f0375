# SPDX-License-Identifier: Apache-2.0
"""The Intel NIC drivers against a device in Python: frames, offloads, faults, removal."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import cunit
from tests.unit.models.bench import TICK, Driven, no_leaks, probe_with_little_memory
from tests.unit.models.e1000 import BASE, E1000, LSC, RXT0, SIZE
from tests.unit.models.nic import CSUM_PARTIAL, CSUM_VALID, HEADERS, SOURCES, TSO4, VLAN, Nic

QUIRK_82574 = 1


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "e1000",
        sources=["drivers/net/e1000.c", "drivers/net/e1000_io.c", *SOURCES],
        headers=HEADERS,
        cdef="extern struct hcl_driver driver_e1000, driver_e1000e;",
    )


class Setup(Driven):
    def __init__(self, unit: cunit.Unit, driver: str = "e1000", **model: Any) -> None:
        super().__init__(unit, driver, vectors=1)
        self.model = E1000(self.bench, **model)
        self.bar(0, BASE, SIZE)
        self.pci.dev.quirks = QUIRK_82574 if driver == "e1000e" else 0


@contextmanager
def attached(unit: cunit.Unit, **options: Any) -> Iterator[tuple[E1000, Nic, Setup]]:
    setup = Setup(unit, **options)
    with setup.attached():
        yield setup.model, Nic(setup), setup
    assert not unit.lib.uplink_find(b"vmnic0")


def frame(size: int, seed: int = 0) -> bytes:
    return bytes.fromhex("525400123456525400123457") + random.Random(seed).randbytes(size - 12)


@pytest.mark.parametrize("driver", ["e1000", "e1000e"])
def test_what_it_says_of_itself(unit: cunit.Unit, driver: str) -> None:
    with attached(unit, driver=driver) as (_, nic, _):
        assert bytes(nic.uplink.mac) == bytes.fromhex("525400123456")
        assert unit.ffi.string(nic.uplink.driver).decode() == driver
        assert nic.uplink.link_up and nic.uplink.speed_mbps == 1000 and nic.uplink.full_duplex


@given(sizes=st.lists(st.integers(14, 9018), min_size=1, max_size=60), seed=st.integers(0, 2**32))
@settings(max_examples=60)
def test_frames_of_any_size_both_ways(unit: cunit.Unit, sizes: list[int], seed: int) -> None:
    frames = [frame(size, seed + n) for n, size in enumerate(sizes)]
    with attached(unit) as (device, nic, _):
        for data in frames:
            assert nic.send(data) == 0
            assert device.receive(data)
            assert nic.taken() == [data]
        assert [s.data for s in device.sent] == frames
        assert (nic.uplink.stats.tx_packets, nic.uplink.stats.rx_packets) == (len(frames),) * 2


def test_tags_and_sums(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        assert nic.send(frame(100), VLAN, vlan_tci=42) == 0
        assert nic.send(frame(100), CSUM_PARTIAL, csum_start=34, csum_offset=16) == 0
        tagged, summed = device.sent
        assert tagged.tag == 42 and summed.tag is None and summed.sums == 2
        assert summed.context[4:6] == bytes([34, 50])
        device.receive(frame(80), status=8 | 0x20, tag=7)
        device.receive(frame(80), status=0x20, errors=0x20)
        nic.bench.run()
        assert [(f.flags & (VLAN | CSUM_VALID), f.tag) for f in nic.received] == [(6, 7), (0, 0)]


def test_segmentation(unit: cunit.Unit) -> None:
    members = {"csum_start": 34, "csum_offset": 16, "hdr_len": 54, "gso_size": 1460}
    with attached(unit) as (device, nic, _):
        data = bytearray(frame(54 + 20000))
        data[50:52] = (0x1234).to_bytes(2, "big")
        assert nic.send(bytes(data), CSUM_PARTIAL | TSO4, **members) == 0
        # The device adds the segments' lengths itself: none is left in the headers' sums.
        data[24:26], data[50:52] = bytes(2), (0x1234 + 0xFFFF - 20020).to_bytes(2, "big")
        sent = device.sent[0]
        assert sent.tso and sent.data == data and sent.sums == 3
        assert sent.context[13] == 54 and sent.context[14:16] == (1460).to_bytes(2, "little")
        for odd in ({"hdr_len": 0}, {"gso_size": 0}, {"csum_start": 300}, {"hdr_len": 30000}):
            assert nic.send(bytes(data), CSUM_PARTIAL | TSO4, **{**members, **odd}) == -22
        assert nic.send(bytes(data), TSO4, **members) == -22


@given(order=st.randoms(use_true_random=False), count=st.integers(1, 400))
@settings(max_examples=40)
def test_reports_late_twice_and_out_of_order(unit: cunit.Unit, order: Any, count: int) -> None:
    """A descriptor reports before its predecessors, again, or for nothing: no packet is lost."""
    with attached(unit) as (device, nic, setup):
        device.held, accepted = [], 0
        for n in range(count):
            accepted += nic.send(frame(60, n)) == 0
            if order.random() < 0.3 and device.held:
                device.report(device.held.pop(order.randrange(len(device.held))))
            if order.random() < 0.1:
                device.report(order.randrange(256))
            if order.random() < 0.1:
                setup.bench.fire(0)
            nic.bench.run()
        while device.held:
            device.report(device.held.pop(0))
        nic.bench.run()
        assert len(device.sent) == accepted


@given(
    parts=st.lists(
        st.tuples(st.integers(0, 0xFFFF), st.integers(0, 255), st.integers(0, 255)), max_size=200
    )
)
@settings(max_examples=80)
def test_malformed_descriptors(unit: cunit.Unit, parts: list[tuple[int, int, int]]) -> None:
    """Any length, status and errors: dropped or handed up with what the buffer can hold."""
    with attached(unit) as (device, nic, _):
        for length, status, errors in parts:
            device.put(b"x" * 64, length, status | 1, errors)
            device.cause(RXT0)
            nic.bench.run()
        assert all(len(f.data) <= 20 * 2048 for f in nic.received)
        for _ in range(2):  # the first may end a frame that was begun
            nic.received.clear()
            device.receive(frame(60))
            nic.bench.run()
        assert nic.received[0].data == frame(60)


def test_a_device_that_stops_sending_is_reset(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        assert nic.uplink.ops.set_mode(nic.uplink, True, False) == 0
        device.silent, before = True, device.resets
        while nic.send(frame(60)) == 0:
            pass
        nic.bench.run()
        assert device.resets == before, "a full ring alone is no fault"
        unit.lib.seam_advance(11 * TICK)
        assert nic.send(frame(60)) != 0
        device.silent = False
        nic.bench.run()
        assert device.resets == before + 1
        assert device.regs[0x100] & 8, "it listens to everything again"
        device.sent.clear()
        assert nic.send(frame(61)) == 0 and device.receive(frame(62))
        assert (device.sent[0].data, nic.taken()) == (frame(61), [frame(62)])


def test_a_device_that_does_not_come_back(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        device.silent = device.never_ready = True
        while nic.send(frame(60)) == 0:
            pass
        unit.lib.seam_advance(11 * TICK)
        assert nic.send(frame(60)) != 0
        nic.bench.run()
        assert not nic.uplink.link_up and nic.send(frame(60)) != 0


def test_link_changes(unit: cunit.Unit) -> None:
    with attached(unit) as (device, nic, _):
        for up in (False, True):
            device.no_link = not up
            device.cause(LSC)
            nic.bench.run()
            assert nic.uplink.link_up == up


@pytest.mark.parametrize("told", [True, False])
def test_surprise_removal(unit: cunit.Unit, told: bool) -> None:
    with attached(unit) as (device, nic, setup):
        device.silent = True
        for n in range(100):
            assert nic.send(frame(60, n)) == 0
        if told:
            setup.vanish()
        else:
            setup.bench.dead = True
        nic.send(frame(60))
        setup.bench.fire(0)
        nic.bench.run()


@pytest.mark.parametrize("fault", ["never_ready", "dead", "multicast"])
def test_probe_fails_cleanly(unit: cunit.Unit, fault: str) -> None:
    setup = Setup(unit, never_ready=fault == "never_ready")
    setup.bench.dead = fault == "dead"
    if fault == "multicast":
        setup.model.reset = lambda: setup.model.regs.update({0x5400: 0x12005401})
        setup.model.reset()
    with no_leaks(unit):
        assert setup.probe() < 0


def test_probe_without_memory(unit: cunit.Unit) -> None:
    probe_with_little_memory(unit, lambda: Setup(unit), 12)


def test_no_memory_for_what_arrives(unit: cunit.Unit) -> None:
    """Frames are lost, buffers are not: as soon as there is memory they arrive."""
    with attached(unit) as (device, nic, _):
        unit.lib.seam_fail_after(0)
        for n in range(600):
            device.receive(frame(60, n))
            nic.bench.run()
        assert not nic.received and nic.uplink.errors.rx_no_buffer == 600
        unit.lib.seam_fail_after(-1)
        assert device.receive(frame(60)) and nic.taken() == [frame(60)]
