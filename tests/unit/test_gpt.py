# SPDX-License-Identifier: Apache-2.0
"""Partition tables: what is built is read back, and damage is found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tepui.shell import gpt

BLOCKS = 8192
NAMES = st.text(st.characters(codec="utf-16-le", exclude_characters="\0"), max_size=18)


@st.composite
def tables(draw: st.DrawFn) -> gpt.Table:
    size = draw(st.sampled_from([512, 4096]))
    empty = gpt.Table(draw(st.uuids()), size, BLOCKS, ())
    inside = st.integers(empty.first_usable, empty.last_usable)
    ends = sorted(draw(st.sets(inside, max_size=12)))
    numbers = draw(st.permutations(range(1, len(ends) // 2 + 1)))
    parts = []
    for number, first, last in zip(numbers, ends[::2], ends[1::2], strict=False):
        kind = draw(st.sampled_from(gpt.Type)).value
        parts.append(gpt.Partition(number, kind, draw(st.uuids()), first, last, draw(NAMES)))
    return gpt.Table(empty.guid, size, BLOCKS, tuple(sorted(parts, key=lambda p: p.number)))


def disk(table: gpt.Table) -> bytearray:
    primary, backup = gpt.build(table)
    size = table.blocks * table.block_size
    return bytearray(primary + bytes(size - len(primary) - len(backup)) + backup)


def read(image: bytearray, table: gpt.Table) -> gpt.Table:
    def at(offset: int, length: int) -> bytes:
        return bytes(image[offset : offset + length])

    return gpt.parse(at, table.block_size, table.blocks)


@settings(max_examples=40)
@given(tables(), st.data())
def test_round_trip_and_backup(table: gpt.Table, data: st.DataObject) -> None:
    image = disk(table)
    assert read(image, table) == table
    # Any damaged byte of header or entries is found; the other copy serves.
    where = data.draw(st.integers(0, gpt.HEADER_SIZE - 1) | st.integers(0, gpt.TABLE_SIZE - 1))
    entries = data.draw(st.booleans())
    start = 2 * table.block_size if entries else table.block_size
    at = start + (where if entries else where % gpt.HEADER_SIZE)
    image[at] ^= 0x40
    assert read(image, table) == table
    image[-table.block_size :] = bytes(table.block_size)
    with pytest.raises(gpt.GptError):
        read(image, table)


@settings(max_examples=20)
@given(tables())
def test_overlaps_are_refused(table: gpt.Table) -> None:
    for p in table.partitions:
        twin = gpt.Partition(100, p.type, p.guid, p.last, p.last, "twin")
        with pytest.raises(gpt.GptError):
            gpt.build(gpt.Table(table.guid, table.block_size, BLOCKS, (*table.partitions, twin)))
