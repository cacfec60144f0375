# SPDX-License-Identifier: Apache-2.0
"""Partition tables: built by construct, read by the kernel, damaged by Hypothesis."""

import struct
import uuid
import zlib
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tepui.shell.datastore.partitions import DATASTORE, OS_DATA
from tests.gpt import BLOCK, ENTRIES, Part, gpt
from tests.unit import cunit

BLOCKS = 4096

CODE = r"""
#include "vmk/errno.h"
#include <string.h>
static const uint8_t *disk_data;
static uint64_t disk_size;
int part_test(const uint8_t *data, uint64_t blocks, struct part *out)
{
	struct blk_dev d = { .limits = { .block_size = 512, .blocks = blocks } };
	disk_data = data;
	disk_size = blocks * 512;
	return part_read(&d, out);
}
int blk_rw_buf(struct blk_dev *d, enum blk_op op, uint64_t offset, void *buf, size_t len)
{
	if (offset > disk_size || len > disk_size - offset)
		return -EINVAL;
	memcpy(buf, disk_data + offset, len);
	return 0;
}
"""


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "part",
        sources=["vmkernel/storage/part.c", "vmkernel/lib/crc.c"],
        headers=["storage/blk_impl.h"],
        cdef="int part_test(const uint8_t *data, uint64_t blocks, struct part *out);",
        code=CODE,
    )


def read(unit: cunit.Unit, disk: bytes | bytearray) -> list[Part] | int:
    """What the kernel makes of a disk; a negative errno when it refuses."""
    parts = unit.ffi.new("struct part[]", 128)
    count = unit.lib.part_test(unit.ffi.from_buffer(disk), len(disk) // BLOCK, parts)
    if count < 0:
        return int(count)
    return [Part(p.number, p.first, p.blocks) for p in parts[0:count]]


@st.composite
def layouts(draw: st.DrawFn) -> list[Part]:
    """Disjoint partitions with distinct numbers."""
    numbers = draw(st.lists(st.integers(1, ENTRIES), unique=True, max_size=12))
    cuts = draw(
        st.lists(
            st.integers(34, BLOCKS - 34),
            unique=True,
            min_size=2 * len(numbers),
            max_size=2 * len(numbers),
        )
    )
    cuts.sort()
    pairs = zip(cuts[::2], cuts[1::2], strict=True)
    return [
        Part(number, first, end - first)
        for number, (first, end) in zip(sorted(numbers), pairs, strict=True)
    ]


@given(layout=layouts())
def test_gpt_round_trip(unit: cunit.Unit, layout: list[Part]) -> None:
    assert read(unit, gpt(layout, BLOCKS)) == layout


@given(layout=layouts(), at=st.integers(BLOCK, 34 * BLOCK - 1), bit=st.integers(0, 7))
def test_backup_serves_when_the_primary_is_damaged(
    unit: cunit.Unit, layout: list[Part], at: int, bit: int
) -> None:
    disk = gpt(layout, BLOCKS)
    disk[at] ^= 1 << bit
    assert read(unit, disk) == layout


def check(found: list[Part] | int) -> None:
    """Whatever the bytes were: inside the disk, disjoint."""
    if isinstance(found, int):
        assert found < 0
        return
    spans = sorted((p.first, p.first + p.blocks) for p in found)
    assert all(first < end <= BLOCKS for first, end in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


@settings(max_examples=300)
@given(data=st.data(), layout=layouts())
def test_hostile_tables(unit: cunit.Unit, data: st.DataObject, layout: list[Part]) -> None:
    """Mutations with the checksums made right again reach every check behind them."""
    disk = gpt(layout, BLOCKS)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.sampled_from([450, BLOCK + 40, BLOCK + 72, BLOCK + 80, 2 * BLOCK + 32]))
        value = data.draw(st.sampled_from([0, 1, 127, 2**31, 2**32 - 1, 2**64 - 1, BLOCKS]))
        disk[at : at + 8] = struct.pack("<Q", value)
    head = bytearray(disk[BLOCK : BLOCK + 92])
    count, size = struct.unpack_from("<II", head, 80)
    start = struct.unpack_from("<Q", head, 72)[0] * BLOCK
    entries = bytes(disk[start : start + min(count * size, len(disk))])
    head[88:92] = struct.pack("<I", zlib.crc32(entries))
    head[16:20] = bytes(4)
    head[16:20] = struct.pack("<I", zlib.crc32(bytes(head)))
    disk[BLOCK : BLOCK + 92] = head
    check(read(unit, disk))


def mbr(entries: list[tuple[int, int, int]]) -> bytes:
    table = b"".join(
        struct.pack("<BBBBBBBBII", 0, 0, 0, 0, kind, 0, 0, 0, first, blocks)
        for kind, first, blocks in entries
    )
    return bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa"


def test_mbr_with_logical_partitions(unit: cunit.Unit) -> None:
    disk = bytearray(BLOCKS * BLOCK)
    disk[:BLOCK] = mbr([(0x83, 63, 100), (0x05, 1000, 2000)])
    disk[1000 * BLOCK : 1001 * BLOCK] = mbr([(0x83, 1, 99), (0x05, 500, 300)])
    disk[1500 * BLOCK : 1501 * BLOCK] = mbr([(0x82, 1, 299)])
    assert read(unit, disk) == [Part(1, 63, 100), Part(5, 1001, 99), Part(6, 1501, 299)]


@given(data=st.data())
def test_hostile_mbr_chains(unit: cunit.Unit, data: st.DataObject) -> None:
    """Rings and wild chains end."""
    disk = bytearray(BLOCKS * BLOCK)
    number = st.one_of(st.integers(0, BLOCKS), st.integers(0, 2**32 - 1))
    entry: Any = st.tuples(st.sampled_from([0, 0x83, 0x05, 0x0F, 0x85]), number, number)
    for lba in [0, *data.draw(st.lists(st.integers(1, BLOCKS - 1), max_size=6))]:
        sector = mbr(data.draw(st.lists(entry, min_size=1, max_size=4)))
        disk[lba * BLOCK : (lba + 1) * BLOCK] = sector
    check(read(unit, disk))


def test_our_types(unit: cunit.Unit) -> None:
    kinds = (OS_DATA, unit.lib.BLK_PART_OS_DATA), (DATASTORE, unit.lib.BLK_PART_DATASTORE)
    for guid, kind in (*kinds, (uuid.UUID(int=0), unit.lib.BLK_PART_OTHER)):
        assert unit.lib.blk_part_kind(guid.bytes_le) == kind


def test_no_table(unit: cunit.Unit) -> None:
    assert read(unit, bytes(BLOCKS * BLOCK)) == []
    assert read(unit, bytes(BLOCK)) == []
