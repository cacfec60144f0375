# SPDX-License-Identifier: Apache-2.0
"""Guests' virtio devices against drivers that want more than their share, or do not stop."""

import struct

import pytest

from tests.unit import cunit, virtio_unit
from tests.unit.virtio_unit import BLK, DATA, NEEDS_RESET, NET, NEXT, RNG, WRITE, Driver

SIZE = 8


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return virtio_unit.build("virtio_devices")


def reads(driver: Driver, count: int) -> None:
    """Offers the same read of a sector `count` times."""
    struct.pack_into("<IIQ", driver.ram, DATA, 0, 0, 1)
    driver.descriptor(0, DATA, 16, NEXT, 1)
    driver.descriptor(1, DATA + 0x1000, 512, WRITE | NEXT, 2)
    driver.descriptor(2, DATA + 0x2000, 1, WRITE)
    for _ in range(count):
        driver.offer(0)


def test_a_disk_has_no_more_in_flight_than_its_queue(unit: cunit.Unit) -> None:
    """The available index runs on, though nothing has come back."""
    driver = Driver(unit, BLK, size=SIZE)
    heap = unit.lib.seam_heap_live
    for _ in range(60):
        reads(driver, SIZE)
        driver.kick()
        unit.lib.work_run(100)
    assert unit.lib.held_count <= SIZE
    assert driver.status() & NEEDS_RESET
    assert unit.lib.seam_heap_live == heap
    while unit.lib.held_count:
        unit.lib.finish()
    driver.end()
    assert unit.lib.pins == 0


def test_a_range_is_no_longer_than_the_device_says(unit: cunit.Unit) -> None:
    """Zeroes: 16 MiB, whatever the disk has; discards: none, since the disk takes none."""
    zeroes, discard, most = 13, 11, (16 << 20) // 512
    for kind, sectors, held in (
        (zeroes, most, 1),
        (zeroes, most + 1, 0),
        (zeroes, 1 << 20, 0),
        (zeroes, 0, 0),
        (discard, 1, 0),
    ):
        driver = Driver(unit, BLK, size=SIZE)
        struct.pack_into("<IIQQII", driver.ram, DATA, kind, 0, 0, 0, sectors, 0)
        driver.descriptor(0, DATA, 32, NEXT, 1)
        driver.descriptor(1, DATA + 0x2000, 1, WRITE)
        driver.offer(0)
        driver.kick()
        assert unit.lib.held_count == held, (kind, sectors)
        assert driver.used() == 1 - held
        while unit.lib.held_count:
            unit.lib.finish()
        driver.end()


def test_a_port_has_no_more_in_flight_than_its_queue(unit: cunit.Unit) -> None:
    driver = Driver(unit, NET, queue=1, size=SIZE)
    driver.descriptor(0, DATA, 12 + 64, 0)
    for _ in range(60):
        for _ in range(SIZE):
            driver.offer(0)
        driver.kick()
        unit.lib.work_run(100)
    assert unit.lib.sent_count <= SIZE
    assert driver.status() & NEEDS_RESET
    while unit.lib.sent_count:
        unit.lib.let_go()
    driver.end()
    assert unit.lib.pins == 0


def test_a_disk_serves_its_whole_queue_again_and_again(unit: cunit.Unit) -> None:
    driver = Driver(unit, BLK, size=SIZE)
    for turn in range(1, 40):
        reads(driver, SIZE)
        driver.kick()
        assert unit.lib.held_count == SIZE
        while unit.lib.held_count:
            unit.lib.finish()
        assert driver.used() == SIZE * turn
    assert driver.status() == 0xF
    driver.end()


@pytest.mark.parametrize("kind", [BLK, NET, RNG])
def test_no_kick_waits_for_memory(unit: cunit.Unit, kind: int) -> None:
    driver = Driver(unit, kind, queue=1 if kind == NET else 0, size=SIZE)
    driver.descriptor(0, DATA, 64, WRITE if kind == RNG else 0)
    if kind == BLK:
        reads(driver, 1)
    else:
        driver.offer(0)
    unit.lib.seam_fail_after(0)
    driver.kick()
    assert unit.lib.work_run(1000) == 0
    unit.lib.seam_fail_after(-1)
    assert unit.lib.held_count + unit.lib.sent_count + driver.used() == 1
    while unit.lib.held_count:
        unit.lib.finish()
    while unit.lib.sent_count:
        unit.lib.let_go()
    driver.end()


@pytest.mark.parametrize("kind", [BLK, NET, RNG])
def test_no_kick_outlives_a_stop(unit: cunit.Unit, kind: int) -> None:
    driver = Driver(unit, kind, queue=1 if kind == NET else 0, size=SIZE)
    unit.lib.device_stop()
    unit.lib.seam_fail_after(0)
    driver.kick()
    unit.lib.seam_fail_after(-1)
    assert unit.lib.work_run(1000) == 0
    unit.lib.device_destroy()
