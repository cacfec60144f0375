# SPDX-License-Identifier: Apache-2.0
"""Memory maps in any disorder, against a model that colours pages."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import cunit

PAGE = 4096
RAM = 1
#: The later wins where ranges overlap; types that nobody knows count as reserved (2).
ORDER = (RAM, 3, 4, 2, 5)
Range = tuple[int, int, int]


class Piece(NamedTuple):
    base: int
    len: int
    type: int


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("bootmap", ["vmkernel/early/bootmap.c"], ["vmk/bootmap.h"])


def sanitise(unit: cunit.Unit, ranges: list[Range], limit: int, room: int = 512) -> list[Piece]:
    raw = unit.ffi.new("struct boot_range[]", max(len(ranges), 1))
    for out, (base, length, kind) in zip(raw, ranges, strict=False):
        out.base, out.len, out.type = base, length, kind
    clean = unit.ffi.new("struct boot_range[]", max(room, 1))
    count = unit.lib.bootmap_sanitise(raw, len(ranges), limit, clean, room)
    assert count <= room
    return [Piece(r.base, r.len, r.type) for r in clean[0:count]]


def colour(ranges: list[Range], pages: int) -> list[int]:
    """The type of each page, 0 for none."""
    severity = [-1] * pages
    for base, length, kind in ranges:
        end = min(base + length, pages * PAGE)
        if base >= end:
            continue
        level = ORDER.index(kind if kind in ORDER else 2)
        first, last = (
            (-(-base // PAGE), end // PAGE) if kind == RAM else (base // PAGE, -(-end // PAGE))
        )
        for page in range(first, last):
            severity[page] = max(severity[page], level)
    return [0 if level < 0 else ORDER[level] for level in severity]


small = st.tuples(
    st.integers(0, 70 * PAGE), st.integers(0, 40 * PAGE), st.sampled_from([1, 1, 1, 2, 3, 4, 5, 9])
)
whatever = st.tuples(
    st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1)
)


@given(st.lists(small, max_size=12))
def test_every_page_gets_the_worst_of_its_types(unit: cunit.Unit, ranges: list[Range]) -> None:
    pages = [0] * 64
    for r in sanitise(unit, ranges, 64 * PAGE):
        for page in range(r.base // PAGE, (r.base + r.len) // PAGE):
            pages[page] = r.type
    assert pages == colour(ranges, 64)


@settings(max_examples=3000)
@given(st.lists(whatever, max_size=40), st.integers(0, 2**52), st.integers(0, 50))
def test_any_map_comes_out_in_order(
    unit: cunit.Unit, ranges: list[Range], limit: int, room: int
) -> None:
    end = 0
    for r in sanitise(unit, ranges, limit, room):
        assert r.base >= end
        assert r.len > 0
        assert r.base % PAGE == r.len % PAGE == 0
        assert r.type in ORDER
        end = r.base + r.len
        assert end <= limit


def test_what_qemu_gives(unit: cunit.Unit) -> None:
    """q35 with 8 GiB: RAM below 0x80000000 and above 4 GiB, firmware's own in between."""
    ranges = [
        (0, 0x9FC00, 1),
        (0x9FC00, 0x400, 2),
        (0xF0000, 0x10000, 2),
        (0x100000, 0x7FEDF000, 1),
        (0x7FFDF000, 0x21000, 2),
        (0xB0000000, 0x10000000, 2),
        (0x100000000, 0x180000000, 1),
    ]
    clean = sanitise(unit, ranges, 1 << 46)
    assert [(r.base, r.len, r.type) for r in clean] == [
        (0, 0x9F000, 1),
        (0x9F000, 0x1000, 2),
        *ranges[2:],
    ]


def test_what_bochs_gives(unit: cunit.Unit) -> None:
    """512 MiB: ranges already on pages, the ACPI tables (type 3) at the end of RAM."""
    ranges = [
        (0, 0x9F000, 1),
        (0x9F000, 0x1000, 2),
        (0xE8000, 0x18000, 2),
        (0x100000, 0x1FEF0000, 1),
        (0x1FFF0000, 0x10000, 3),
        (0xFFFC0000, 0x40000, 2),
    ]
    assert [(r.base, r.len, r.type) for r in sanitise(unit, ranges, 1 << 46)] == ranges


@given(
    st.lists(small, max_size=8),
    st.lists(st.tuples(st.integers(0, 80 * PAGE), st.integers(0, 60 * PAGE)), max_size=4),
)
def test_nodes_split_ranges_and_keep_pages(
    unit: cunit.Unit, ranges: list[Range], nodes: list[tuple[int, int]]
) -> None:
    clean = sanitise(unit, ranges, 64 * PAGE)
    table = unit.ffi.new("struct boot_range[]", 64)
    for i, r in enumerate(clean):
        table[i].base, table[i].len, table[i].type = r
    count, model = len(clean), [0] * 64
    for node, (base, length) in enumerate(nodes, 1):
        count = unit.lib.bootmap_set_node(table, count, 64, base, length, node)
        for page in range(-(-base // PAGE), min((base + length) // PAGE, 64)):
            model[page] = node
    pages = [0] * 64
    for i in range(count):
        r = table[i]
        for page in range(r.base // PAGE, (r.base + r.len) // PAGE):
            assert r.node == model[page]
            pages[page] = r.type
    assert pages == colour(ranges, 64)


def test_splitting_stops_when_the_table_is_full(unit: cunit.Unit) -> None:
    table = unit.ffi.new("struct boot_range[2]", [{"base": 0, "len": 8 * PAGE, "type": RAM}])
    assert unit.lib.bootmap_set_node(table, 1, 2, 2 * PAGE, 2 * PAGE, 3) == 2
    assert [(r.base, r.len, r.node) for r in table] == [(0, 2 * PAGE, 0), (2 * PAGE, 6 * PAGE, 0)]
    assert sum(r.len for r in table if r.type == RAM) == 8 * PAGE
