# SPDX-License-Identifier: Apache-2.0
"""Virtio transport, rings and the block driver against a device in Python."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import cunit
from tests.unit.models.bench import (
    PAGE,
    Block,
    Driven,
    block_devices,
    probe_with_little_memory,
)
from tests.unit.models.virtio import SECTOR, VirtioBlk

READ, WRITE, FLUSH, DISCARD, ZEROES = range(5)
EIO, ENODEV, EOPNOTSUPP, ETIMEDOUT = -5, -19, -95, -110


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    storage = ("blk", "blk_stats", "flow", "split", "sync", "registry", "part")
    return cunit.build(
        "virtio_blk",
        sources=["drivers/block/virtio_blk.c", "drivers/virtio/virtio_pci.c"]
        + ["drivers/virtio/virtqueue.c", "vmkernel/lib/crc.c"]
        + [f"vmkernel/storage/{name}.c" for name in storage],
        headers=["vmk/blk.h", "vmk/pci.h", "vmk/mm.h", "vmk/cpu.h"],
        cdef="extern struct hcl_driver driver_virtio_blk;",
    )


class Setup(Driven):
    def __init__(self, unit: cunit.Unit, **model: Any) -> None:
        super().__init__(unit, "virtio_blk")
        self.model = VirtioBlk(self.bench, **model)
        self.model.plug(self)


@contextmanager
def attached(unit: cunit.Unit, **model: Any) -> Iterator[tuple[Setup, Block]]:
    setup = Setup(unit, **model)
    with setup.attached():
        yield setup, Block(setup.bench, block_devices(unit)[0])
    assert not block_devices(unit)


@given(data=st.data(), indirect=st.booleans())
@settings(max_examples=60, deadline=None)
def test_data(unit: cunit.Unit, data: st.DataObject, indirect: bool) -> None:
    """Pieces of any size and alignment arrive, with and without indirect tables."""
    features = (1 << 32) | (1 << 9) | (1 << 2) | (1 << 28 if indirect else 0)
    features |= 1 << 29
    with attached(unit, features=features) as (setup, block):
        memory = setup.bench.pages(64)
        sectors = data.draw(st.integers(1, 64))
        first = data.draw(st.integers(0, setup.model.sectors - sectors))
        cuts = data.draw(st.lists(st.integers(1, sectors * SECTOR - 1), max_size=20, unique=True))
        edges = [0, *sorted(cuts), sectors * SECTOR]
        pieces = [(memory + 4096 * n + a, b - a) for n, (a, b) in enumerate(pairwise(edges))]
        content = bytes((i * 13 + (i >> 9)) & 0xFF for i in range(sectors * SECTOR))
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
        unit.lib.page_free(memory, 6)


def test_other_operations(unit: cunit.Unit) -> None:
    with attached(unit) as (setup, block):
        setup.model.data[:] = b"\xaa" * len(setup.model.data)
        requests = [
            block.submit(FLUSH, 0),
            block.submit(DISCARD, 0, length=2048 * SECTOR),
            block.submit(ZEROES, 3000 * SECTOR, length=8 * SECTOR),
        ]
        block.finish(*requests)
        assert [r.status for r in requests] == [0, 0, 0]
        assert setup.model.data[: 2048 * SECTOR] == bytes(2048 * SECTOR)
        assert setup.model.data[3000 * SECTOR : 3008 * SECTOR] == bytes(8 * SECTOR)


@given(order=st.randoms(), depth=st.integers(1, 300))
@settings(max_examples=30, deadline=None)
def test_completions_in_any_order(unit: cunit.Unit, order: Any, depth: int) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.held = []
        requests = [block.submit(READ, n % 64 * PAGE, [(memory, PAGE)]) for n in range(depth)]
        while setup.model.held:
            setup.model.execute(*setup.model.held.pop(order.randrange(len(setup.model.held))))
            setup.bench.run()
        assert all(r.status == 0 and r.calls == 1 for r in requests)
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize(("status", "result"), [(1, EIO), (2, EOPNOTSUPP), (77, EIO)])
def test_errors(unit: cunit.Unit, status: int, result: int) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.result = status
        request = block.submit(READ, 0, [(memory, PAGE)])
        block.finish(request)
        assert request.status == result
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("head", [0, 5, 127, 128, 0xFFFFFFFF])
def test_used_entry_for_no_chain(unit: cunit.Unit, head: int) -> None:
    """Nonsense in the ring resets the device; what was in flight is carried out afterwards."""
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.held = []
        request = block.submit(READ, 0, [(memory, PAGE)])
        taken = setup.model.held[0][1]
        setup.model.held = None
        setup.model.finish(0, head if head != taken else 127 - head, 1)
        block.finish(request)
        assert request.status == 0 and setup.model.resets == 1
        unit.lib.page_free(memory, 0)


def test_timeout_resets(unit: cunit.Unit) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        late = block.submit(READ, 0, [(memory, PAGE)], timeout=10**9)
        other = block.submit(WRITE, PAGE, [(memory, PAGE)])
        setup.model.silent = False
        block.finish(late, other)
        assert (late.status, other.status, setup.model.resets) == (ETIMEDOUT, 0, 1)
        unit.lib.page_free(memory, 0)


@pytest.mark.parametrize("told", [True, False])
def test_surprise_removal(unit: cunit.Unit, told: bool) -> None:
    with attached(unit) as (setup, block):
        memory = setup.bench.pages(1)
        setup.model.silent = True
        requests = [block.submit(READ, n * PAGE, [(memory, PAGE)]) for n in range(200)]
        setup.bench.dead = True
        if told:
            setup.pci.dev.gone = True
            setup.remove()
        block.finish(*requests)
        assert {r.status for r in requests} <= {ENODEV, ETIMEDOUT}
        if told:
            setup.bench.dead = setup.pci.dev.gone = setup.model.silent = False
            assert setup.probe() == 0
        unit.lib.page_free(memory, 0)


def test_probe_without_memory(unit: cunit.Unit) -> None:
    probe_with_little_memory(unit, lambda: Setup(unit), 20)
    assert not block_devices(unit)
