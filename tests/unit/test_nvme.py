# SPDX-License-Identifier: Apache-2.0
"""The NVMe driver against a controller in Python: data, limits, errors, time-outs, removal."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit
from tests.unit.models.bench import (
    PAGE,
    Block,
    Driven,
    block_devices,
    no_leaks,
    probe_with_little_memory,
)
from tests.unit.models.nvme import BASE, BLOCK, Command, Nvme

READ, WRITE, FLUSH, DISCARD, ZEROES = range(5)
EIO, EINVAL, ENODEV, EROFS, ENOSPC, ETIMEDOUT = -5, -22, -19, -30, -28, -110
SOURCES = [f"drivers/block/{name}.c" for name in ("nvme", "nvme_admin", "nvme_ns", "nvme_queue")]
SOURCES += ["drivers/block/nvme_recover.c"]
SOURCES += [
    f"vmkernel/storage/{name}.c"
    for name in ("blk", "blk_stats", "flow", "split", "sync", "registry", "part")
]
SOURCES += ["vmkernel/lib/crc.c"]


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "nvme",
        sources=SOURCES,
        headers=["vmk/blk.h", "vmk/pci.h", "vmk/mm.h", "vmk/cpu.h"],
        cdef="extern struct hcl_driver driver_nvme;",
    )


class Setup(Driven):
    def __init__(self, unit: cunit.Unit, cpus: int = 2) -> None:
        super().__init__(unit, "nvme", cpus, cpus + 1)
        self.model = Nvme(self.bench)
        self.bar(0, BASE, 0x4000)
        self.pci.cap_msix = 0x40


@contextmanager
def attached(unit: cunit.Unit, **model: Any) -> Iterator[tuple[Setup, Block]]:
    setup = Setup(unit)
    for key, value in model.items():
        setattr(setup.model, key, value)
    with setup.attached():
        yield setup, Block(setup.bench, block_devices(unit)[0])
    assert not block_devices(unit)


def test_names_and_limits(unit: cunit.Unit) -> None:
    with attached(unit, mdts=5) as (setup, block):
        device, ffi = block.device, unit.ffi
        name = ffi.string(device.id).decode()
        assert (
            name
            == "t10.NVMe____" + "Model__disk".ljust(40, "_") + "SN0001".ljust(20, "_") + "00000001"
        )
        assert ffi.string(device.node) == b"vmhba0:C0:T0:L0"
        assert device.limits.blocks == setup.model.blocks and device.limits.block_size == BLOCK
        assert device.limits.max_bytes == PAGE << 5 and device.limits.queues == 2
        assert setup.lib.seam_master


@given(data=st.data())
def test_data_of_any_shape(unit: cunit.Unit, data: st.DataObject) -> None:
    """Scatter lists of any alignment reach the disk as they are, and come back."""
    with attached(unit, mdts=data.draw(st.sampled_from([0, 2]))) as (setup, block):
        memory = setup.bench.pages(256)
        shadow = bytearray(setup.model.data)
        for round_ in range(data.draw(st.integers(1, 5))):
            blocks = data.draw(st.integers(1, 600))
            first = data.draw(st.integers(0, setup.model.blocks - blocks))
            cuts = data.draw(st.lists(st.integers(1, blocks * BLOCK - 1), max_size=6, unique=True))
            edges = [0, *sorted(cuts), blocks * BLOCK]
            base = memory + data.draw(st.integers(0, 3)) * data.draw(st.sampled_from([1, 4, 512]))
            pieces = [(base + a + PAGE * n, b - a) for n, (a, b) in enumerate(pairwise(edges))]
            content = bytes((round_ + i * 7 + (i >> 8)) & 0xFF for i in range(blocks * BLOCK))
            for (pa, size), at in zip(pieces, edges, strict=False):
                setup.bench.store(pa, content[at : at + size])
            write = block.submit(WRITE, first * BLOCK, pieces)
            block.finish(write)
            assert write.status == 0
            shadow[first * BLOCK : (first + blocks) * BLOCK] = content
            assert setup.model.data == shadow
            for pa, size in pieces:
                setup.bench.store(pa, bytes(size))
            read = block.submit(READ, first * BLOCK, pieces)
            block.finish(read)
            assert read.status == 0
            assert b"".join(setup.bench.load(pa, size) for pa, size in pieces) == content
        unit.lib.page_free(memory, 8)


def test_flush_discard_zeroes(unit: cunit.Unit) -> None:
    with attached(unit) as (setup, block):
        setup.model.data[:] = b"\xaa" * len(setup.model.data)
        requests = [
            block.submit(FLUSH, 0),
            block.submit(DISCARD, 0, length=4 * BLOCK),
            block.submit(ZEROES, 8 * BLOCK, length=2 * BLOCK),
        ]
        block.finish(*requests)
        assert [r.status for r in requests] == [0, 0, 0]
        assert setup.model.data[: 4 * BLOCK] == bytes(4 * BLOCK)
        assert setup.model.data[4 * BLOCK : 8 * BLOCK] == b"\xaa" * (4 * BLOCK)
        assert setup.model.data[8 * BLOCK : 10 * BLOCK] == bytes(2 * BLOCK)


@given(order=st.randoms(), depth=st.integers(1, 300), twice=st.booleans(), unknown=st.booleans())
def test_completions_in_any_order(
    unit: cunit.Unit, order: Any, depth: int, twice: bool, unknown: bool
) -> None:
    """Out of order, twice, for unknown commands, with spurious interrupts; more than fit wait."""
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.held = []
        requests = [block.submit(READ, n % 64 * PAGE, [(memory, PAGE)]) for n in range(depth)]
        assert len(setup.model.held) <= 127
        while setup.model.held:
            command = setup.model.held.pop(order.randrange(len(setup.model.held)))
            setup.model.execute(command)
            if twice and order.random() < 0.2:
                setup.model.complete(command)
            if unknown and order.random() < 0.2:
                setup.model.complete(Command(command.queue, order.randrange(65536), 2, 1, 0, 0, ()))
            if order.random() < 0.1:
                setup.bench.fire(order.randrange(3))
            setup.bench.run()
        block.finish(*requests)
        # A stray identifier may hit a live command by chance; none may be lost or end twice.
        assert all(r.status == 0 for r in requests)
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (0x281, EIO),
        (0x80, EINVAL),
        (0x81, ENOSPC),
        (0x20, EROFS),
        (0x06, EIO),
        (0x01, -95),
        (0x4006, EIO),
    ],
)
def test_error_statuses(unit: cunit.Unit, status: int, result: int) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.statuses[READ + 2] = status
        before = len(setup.model.commands)
        request = block.submit(READ, 0, [(memory, PAGE)])
        block.finish(request)
        assert request.status == result
        tries = len(setup.model.commands) - before
        assert tries == (6 if status == 0x06 else 1)
        setup.model.statuses.clear()
        request = block.submit(READ, 0, [(memory, PAGE)])
        block.finish(request)
        assert request.status == 0
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("abort_works", [True, False])
def test_timeout_then_recovery(unit: cunit.Unit, abort_works: bool) -> None:
    """Unanswered requests: an abort ends each; a reset, where aborts fail, repeats the other."""
    with attached(unit, abort_works=abort_works) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        late = block.submit(READ, 0, [(memory, PAGE)], timeout=10**9)
        other = block.submit(WRITE, PAGE, [(memory, PAGE)])
        setup.model.silent = False
        resets = setup.model.resets
        block.finish(late, other)
        assert late.status == ETIMEDOUT
        assert other.status == (ETIMEDOUT if abort_works else 0)
        assert setup.model.resets - resets == (0 if abort_works else 1)
        again = block.submit(READ, 0, [(memory, PAGE)])
        block.finish(again)
        assert again.status == 0
        unit.lib.page_free(memory, 0)


def test_a_request_during_a_reset_waits_for_its_queue(unit: cunit.Unit) -> None:
    """Between the controller's enable and the creation of its queues no doorbell is rung."""
    with attached(unit, abort_works=False) as (setup, block):
        memory = setup.bench.pages(1)
        early: list[Any] = []

        def submit() -> None:
            early.append(block.submit(READ, 0, [(memory, PAGE)]))

        setup.model.before_create = submit
        setup.model.silent = True
        late = block.submit(READ, 0, [(memory, PAGE)], timeout=10**9)
        setup.model.silent = False
        block.finish(late)
        setup.model.before_create = None
        block.finish(*early)
        assert late.status == ETIMEDOUT
        assert early and all(request.status == 0 for request in early)
        assert setup.model.resets >= 1
        unit.lib.page_free(memory, 0)


def test_lost_interrupt(unit: cunit.Unit) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.held = []
        request = block.submit(READ, 0, [(memory, PAGE)])
        for pair in setup.model.queues.values():
            pair.vector = 63
        setup.model.execute(setup.model.held.pop())
        block.finish(request)
        assert request.status == 0
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("returns", ["never_ready", "stuck_ready", "silent_admin"])
def test_controller_that_does_not_come_back(unit: cunit.Unit, returns: str) -> None:
    with attached(unit, abort_works=False) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        requests = [block.submit(READ, n * PAGE, [(memory, PAGE)]) for n in range(200)]
        setattr(setup.model, returns, True)
        block.finish(*requests)
        assert {r.status for r in requests} <= {ENODEV, ETIMEDOUT}
        after = block.submit(READ, 0, [(memory, PAGE)])
        block.finish(after)
        assert after.status == ENODEV
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("fault", ["never_ready", "silent_admin", "dead", "status"])
def test_probe_fails_cleanly(unit: cunit.Unit, fault: str) -> None:
    setup = Setup(unit)
    if fault == "dead":
        setup.bench.dead = True
    elif fault == "status":
        setup.model.statuses[0x106] = 6
    else:
        setattr(setup.model, fault, True)
    with no_leaks(unit):
        assert setup.probe() < 0
    assert not block_devices(unit) and not setup.lib.seam_master


def test_probe_without_memory(unit: cunit.Unit) -> None:
    probe_with_little_memory(unit, lambda: Setup(unit), 24)
    assert not block_devices(unit)


@pytest.mark.parametrize("told", [True, False])
def test_surprise_removal(unit: cunit.Unit, told: bool) -> None:
    """All ones in mid-flight: every request ends, whether the bus or a deadline found out."""
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        requests = [block.submit(READ, n * PAGE, [(memory, PAGE)]) for n in range(200)]
        setup.bench.dead = True
        if told:
            setup.pci.dev.gone = True
            setup.remove()
        block.finish(*requests)
        # What had not reached the device yet may pass its deadline first.
        assert {r.status for r in requests} <= {ENODEV, ETIMEDOUT}
        assert all(r.status == ENODEV for r in requests[:127])
        if told:
            setup.bench.dead = setup.pci.dev.gone = setup.model.silent = False
            assert setup.probe() == 0
        unit.lib.page_free(memory, 0)


def test_refusals(unit: cunit.Unit) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        size = setup.model.blocks * BLOCK
        bad = [
            block.submit(READ, size, [(memory, BLOCK)]),
            block.submit(READ, size - BLOCK, [(memory, 2 * BLOCK)]),
            block.submit(READ, 100, [(memory, BLOCK)]),
            block.submit(READ, 0, [(memory, 100)]),
            block.submit(READ, 0, [(memory, BLOCK)], length=2 * BLOCK),
            block.submit(9, 0, [(memory, BLOCK)]),
            block.submit(READ, 0),
        ]
        assert all(r.status is None for r in bad), "done runs in a bottom half"
        block.finish(*bad)
        assert {r.status for r in bad} == {EINVAL}
        unit.lib.page_free(memory, 0)
