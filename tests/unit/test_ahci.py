# SPDX-License-Identifier: Apache-2.0
"""The AHCI driver against a controller in Python: data, NCQ, errors, recovery, removal."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import cunit
from tests.unit.models.ahci import BASE, SECTOR, SIZE, Ahci, identify
from tests.unit.models.bench import (
    PAGE,
    Block,
    Driven,
    block_devices,
    no_leaks,
    probe_with_little_memory,
)

READ, WRITE, FLUSH, DISCARD, ZEROES = range(5)
EIO, EINVAL, ENODEV, EOPNOTSUPP, ETIMEDOUT = -5, -22, -19, -95, -110
NO_NCQ = identify(4096, w76=0)


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "ahci",
        sources=[f"drivers/block/{name}.c" for name in ("ahci", "ahci_io", "ahci_port")]
        + [
            f"vmkernel/storage/{n}.c"
            for n in ("blk", "blk_stats", "flow", "split", "sync", "registry", "part")
        ]
        + ["vmkernel/lib/crc.c"],
        headers=["vmk/blk.h", "vmk/pci.h", "vmk/mm.h", "vmk/cpu.h"],
        cdef="extern struct hcl_driver driver_ahci;",
    )


class Setup(Driven):
    def __init__(self, unit: cunit.Unit, **model: Any) -> None:
        super().__init__(unit, "ahci", vectors=1)
        self.model = Ahci(self.bench, **model)
        self.bar(5, BASE, SIZE)


@contextmanager
def attached(unit: cunit.Unit, **model: Any) -> Iterator[tuple[Setup, Block]]:
    setup = Setup(unit, **model)
    with setup.attached():
        yield setup, Block(setup.bench, block_devices(unit)[0])
    assert not block_devices(unit)


def test_names_and_limits(unit: cunit.Unit) -> None:
    with attached(unit) as (_, block):
        device, ffi = block.device, unit.ffi
        assert ffi.string(device.node) == b"vmhba0:C0:T0:L0"
        assert ffi.string(device.model) == b"Model disk" and ffi.string(device.serial) == b"SN0001"
        assert ffi.string(device.id).decode() == "t10.ATA_____" + "Model_disk".ljust(
            40, "_"
        ) + "SN0001".ljust(20, "_")
        assert device.limits.blocks == 4096 and device.limits.depth == 32
        assert device.limits.write_cache and not device.limits.rotational


@given(data=st.data(), ncq=st.booleans())
@settings(max_examples=60)
def test_data_of_any_shape(unit: cunit.Unit, data: st.DataObject, ncq: bool) -> None:
    with attached(unit, page=b"" if ncq else NO_NCQ) as (setup, block):
        memory = setup.bench.pages(256)
        sectors = data.draw(st.integers(1, 1100))  # more than a command takes: it is split
        first = data.draw(st.integers(0, setup.model.sectors - sectors))
        cuts = data.draw(st.lists(st.integers(1, sectors * 256 - 1), max_size=8, unique=True))
        edges = [0, *(2 * cut for cut in sorted(cuts)), sectors * SECTOR]
        base = memory + 2 * data.draw(st.integers(0, 9))
        pieces = [(base + a + PAGE * n, b - a) for n, (a, b) in enumerate(pairwise(edges))]
        content = bytes((i * 7 + (i >> 8)) & 0xFF for i in range(sectors * SECTOR))
        for (pa, size), at in zip(pieces, edges, strict=False):
            setup.bench.store(pa, content[at : at + size])
        write = block.submit(WRITE, first * SECTOR, pieces)
        block.finish(write)
        assert write.status == 0
        assert setup.model.data[first * SECTOR : (first + sectors) * SECTOR] == content
        for pa, size in pieces:
            setup.bench.store(pa, bytes(size))
        read = block.submit(READ, first * SECTOR, pieces)
        block.finish(read)
        assert b"".join(setup.bench.load(pa, size) for pa, size in pieces) == content
        assert {0x60, 0x61} <= set(setup.model.commands) or not ncq
        unit.lib.page_free(memory, 8)


def test_flush_and_discard_have_the_disk_for_themselves(unit: cunit.Unit) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.data[:] = b"\xaa" * len(setup.model.data)
        setup.model.held = []
        reads = [block.submit(READ, n * PAGE, [(memory, PAGE)]) for n in range(4)]
        others = [block.submit(FLUSH, 0), block.submit(DISCARD, 0, length=8 * SECTOR)]
        assert set(setup.model.commands[1:]) == {0x60}
        while setup.model.held:
            setup.model.execute(setup.model.held.pop())
            setup.bench.run()
        block.finish(*reads, *others)
        assert {r.status for r in (*reads, *others)} == {0}
        assert setup.model.data[: 8 * SECTOR] == bytes(8 * SECTOR)
        unit.lib.page_free(memory, 0)


@given(order=st.randoms(), depth=st.integers(1, 100))
@settings(max_examples=40)
def test_completions_in_any_order(unit: cunit.Unit, order: Any, depth: int) -> None:
    """Out of order, twice, for slots that are free, with interrupts that have no cause."""
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.held = []
        requests = [block.submit(READ, n % 64 * PAGE, [(memory, PAGE)]) for n in range(depth)]
        while setup.model.held:
            slot = setup.model.held.pop(order.randrange(len(setup.model.held)))
            setup.model.execute(slot)
            match order.randrange(4):
                case 0:
                    setup.model.finish(slot, True)
                case 1 if len(setup.model.held) < 31:
                    free = set(range(32)) - set(setup.model.held) - {slot}
                    setup.model.finish(order.choice(sorted(free)), True)
                case 2:
                    setup.bench.fire(0)
            setup.bench.run()
        block.finish(*requests)
        assert {r.status for r in requests} == {0}
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("ncq", [True, False])
@pytest.mark.parametrize("log_lies", [False, True])
@pytest.mark.parametrize(("error", "result"), [(0x40, EIO), (0x10, EINVAL), (0x04, EIO)])
def test_one_bad_command_among_others(
    unit: cunit.Unit, ncq: bool, log_lies: bool, error: int, result: int
) -> None:
    """The failing one gets its error, the others are repeated: also where the log names none."""
    with attached(unit, page=b"" if ncq else NO_NCQ, log_lies=log_lies) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.held = []
        bad = block.submit(WRITE, 0, [(memory, PAGE)])
        good = [block.submit(READ, n * PAGE, [(memory, PAGE)]) for n in range(1, 6)]
        setup.model.errors = dict.fromkeys((0x35, 0x61), error)
        held, setup.model.held = setup.model.held, None
        for slot in held:
            setup.model.execute(slot)
        block.finish(bad, *good)
        assert (bad.status, {r.status for r in good}) == (result, {0})
        setup.model.errors.clear()
        again = block.submit(WRITE, 0, [(memory, PAGE)])
        block.finish(again)
        assert again.status == 0
        unit.lib.page_free(memory, 0)


def test_counters_of_worlds(unit: cunit.Unit) -> None:
    """More worlds than there are rows: each that has one has it right, and nothing is lost."""
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        rows = unit.ffi.new("struct blk_world[]", 128)
        assert setup.lib.blk_worlds_get(block.device, rows, 128) == 1, "who looked for partitions"
        total = rows[0].ops + 100 * 101 // 2 + 1
        for world in range(1, 101):
            setup.lib.seam_world_id = world
            op = WRITE if world % 2 else READ
            requests = [block.submit(op, 0, [(memory, PAGE)]) for _ in range(world)]
            if world == 100:
                requests.append(block.submit(READ, 0, [(memory, SECTOR)], length=SECTOR))
            block.finish(*requests)
        setup.lib.seam_world_id = 1
        rows = unit.ffi.new("struct blk_world[]", 128)
        count = setup.lib.blk_worlds_get(block.device, rows, 128)
        found = {rows[i].id: rows[i] for i in range(count)}
        assert len(found) == count and sum(w.ops for w in found.values()) == total
        assert set(range(70, 101)) <= set(found)
        for world in range(70, 101):
            w, sizes = found[world], (world * PAGE + SECTOR * (world == 100), 0)
            assert (w.ops, w.errors) == (world + (world == 100), 0)
            assert (w.bytes_read, w.bytes_written) == (sizes[::-1] if world % 2 else sizes)
        few = unit.ffi.new("struct blk_world[]", 3)
        assert setup.lib.blk_worlds_get(block.device, few, 3) == 3
        assert sum(w.ops for w in few) == total
        unit.lib.page_free(memory, 0)


def test_timeout_resets_the_port(unit: cunit.Unit) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        late = block.submit(READ, 0, [(memory, PAGE)], timeout=10**9)
        other = block.submit(WRITE, PAGE, [(memory, PAGE)])
        setup.model.silent = False
        resets = setup.model.resets
        block.finish(late, other)
        assert (late.status, other.status, setup.model.resets - resets) == (ETIMEDOUT, 0, 1)
        unit.lib.page_free(memory, 0)


def test_timeout_while_the_port_is_reset(unit: cunit.Unit) -> None:
    """A slow reset is not asked for again, and no request that came behind it is blamed."""
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        late = block.submit(READ, 0, [(memory, PAGE)], timeout=10**9)
        other = block.submit(WRITE, PAGE, [(memory, PAGE)])
        timeout = block.device.ops.timeout
        setup.model.on_reset = lambda: timeout(block.device, late.struct)
        resets = setup.model.resets
        block.finish(late)
        assert (late.status, other.status, setup.model.resets - resets) == (ETIMEDOUT, None, 1)
        block.finish(other)
        assert other.status == ETIMEDOUT, "the disk has not answered the second try either"
        unit.lib.page_free(memory, 0)


def test_lost_interrupt(unit: cunit.Unit) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.held = []
        request = block.submit(READ, 0, [(memory, PAGE)])
        setup.model.regs[0x04] &= ~2
        setup.model.execute(setup.model.held.pop())
        block.finish(request)
        assert request.status == 0
        setup.model.regs[0x04] |= 2
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("fault", ["link", "busy", "engine"])
def test_port_that_does_not_come_back(unit: cunit.Unit, fault: str) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        requests = [block.submit(READ, n * PAGE, [(memory, PAGE)]) for n in range(80)]
        setup.model.never_ready = fault
        block.finish(*requests)
        assert {r.status for r in requests} <= {ENODEV, ETIMEDOUT}
        after = block.submit(READ, 0, [(memory, PAGE)])
        block.finish(after)
        assert after.status in (ENODEV, ETIMEDOUT)
        setup.model.never_ready = ""
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("told", [True, False])
def test_surprise_removal(unit: cunit.Unit, told: bool) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        requests = [block.submit(READ, n * PAGE, [(memory, PAGE)]) for n in range(80)]
        setup.bench.dead = True
        if told:
            setup.vanish()
            setup.remove()
        block.finish(*requests)
        assert {r.status for r in requests} <= {ENODEV, ETIMEDOUT}
        if told:
            setup.bench.dead = setup.pci.dev.gone = setup.model.silent = False
            assert setup.probe() == 0
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("fault", ["reset", "link", "busy", "dead", "identify"])
def test_probe_without_a_disk(unit: cunit.Unit, fault: str) -> None:
    """A controller that is dead is refused; a port without a disk is left out."""
    setup = Setup(unit, never_ready=fault if fault in ("reset", "link", "busy") else "")
    setup.bench.dead = fault == "dead"
    setup.model.errors = {0xEC: 4} if fault == "identify" else {}
    with no_leaks(unit):
        result = setup.probe()
        assert (result < 0) == (fault in ("reset", "dead"))
        assert not block_devices(unit)
        if result == 0:
            setup.remove()


@given(page=st.binary(min_size=512, max_size=512), cap=st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_any_identity(unit: cunit.Unit, page: bytes, cap: int) -> None:
    """Whatever the disk says of itself: it is taken with sane limits, or left out."""
    setup = Setup(unit, page=page, cap=cap)
    with no_leaks(unit):
        assert setup.probe() == 0
        for device in block_devices(unit):
            limits = device.limits
            assert limits.block_size in (512, 4096) and limits.blocks
            assert 1 <= limits.depth <= 32 and limits.blocks < 1 << 64
        setup.remove()
    assert not block_devices(unit)


def test_probe_without_memory(unit: cunit.Unit) -> None:
    probe_with_little_memory(unit, lambda: Setup(unit), 12)
    assert not block_devices(unit)
