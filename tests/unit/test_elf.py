# SPDX-License-Identifier: Apache-2.0
"""The ELF parser: Debian's own programs, and corrupted ones, against rules stated in Python."""

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import cunit

PAGE = 4096
USER_END = 0x00007FFFFFFFF000
NOEXEC = -8
HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
PT_LOAD, PT_INTERP, PT_STACK = 1, 3, 0x6474E551


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("elf", sources=["vmkernel/linux/elf.c"], headers=["linux/elf.h"])


def parse(unit: cunit.Unit, image: bytes) -> tuple[int, object]:
    """What the two steps say about a whole file: 0 or an error, and struct elf_image."""
    elf = unit.ffi.new("struct elf_image *")
    header = image[:64].ljust(64, b"\0")
    result = unit.lib.elf_parse_header(header, len(image), elf)
    if result:
        return result, elf
    # An exact copy, so that the sanitizer sees reads past its end.
    start, size = elf.phdr_offset, elf.phdr_count * PHDR.size
    phdrs = unit.ffi.new("uint8_t[]", image[start : start + size])
    return unit.lib.elf_parse_segments(phdrs, len(image), elf), elf


def build(segments: list[tuple[int, ...]], kind: int = 2, size: int = 0x4000) -> bytes:
    head = HEADER.pack(
        b"\x7fELF\2\1\1".ljust(16, b"\0"),
        kind,
        62,
        1,
        0x401000,
        64,
        0,
        0,
        64,
        56,
        len(segments),
        0,
        0,
        0,
    )
    return (head + b"".join(PHDR.pack(*s) for s in segments)).ljust(size, b"\0")


def test_debian_programs(unit: cunit.Unit) -> None:
    for path in (Path("/usr/bin/python3"), Path("/bin/sh"), Path("/lib64/ld-linux-x86-64.so.2")):
        result, elf = parse(unit, path.read_bytes())
        assert result == 0
        assert elf.segments >= 2 and elf.phdr_vaddr  # type: ignore[attr-defined]
        assert elf.low <= elf.phdr_vaddr < elf.high  # type: ignore[attr-defined]


def test_segment_is_page_aligned(unit: cunit.Unit) -> None:
    image = build([(PT_LOAD, 6, 0x1100, 0x402100, 0, 0x80, 0x2000, PAGE)])
    result, elf = parse(unit, image)
    assert result == 0
    segment = elf.segment[0]  # type: ignore[attr-defined]
    assert (segment.vaddr, segment.offset) == (0x402000, 0x1000)
    assert (segment.file_len, segment.mem_len) == (0x180, 0x2100)


@pytest.mark.parametrize(
    "segment",
    [
        (PT_LOAD, 4, 0, 0x400000, 0, 0x200, 0x100, PAGE),  # more in the file than in memory
        (PT_LOAD, 4, 0x10, 0x400000, 0, 0x10, 0x10, PAGE),  # offset and address disagree
        (PT_LOAD, 4, 0x10000, 0x400000, 0, 1, 1, PAGE),  # past the end of the file
        (PT_LOAD, 4, 0, 2**64 - PAGE, 0, 0, 2 * PAGE, PAGE),  # wraps
        (PT_LOAD, 4, 0, USER_END - PAGE, 0, 0, 2 * PAGE, PAGE),  # the kernel's half
        (PT_INTERP, 4, 0x3FFF, 0, 0, 2, 2, 1),  # the path's end is missing
        (PT_STACK, 6, 0, 0, 0, 0, 0, 0),  # nothing to load
    ],
)
def test_bad_segments(unit: cunit.Unit, segment: tuple[int, ...]) -> None:
    assert parse(unit, build([segment]))[0] == NOEXEC


def test_overlap_is_refused(unit: cunit.Unit) -> None:
    first = (PT_LOAD, 5, 0, 0x400000, 0, 0x1800, 0x1800, PAGE)
    assert parse(unit, build([first, (PT_LOAD, 6, 0x1800, 0x401800, 0, 8, 8, PAGE)]))[0] == NOEXEC
    assert parse(unit, build([first, (PT_LOAD, 6, 0x1800, 0x402800, 0, 8, 8, PAGE)]))[0] == 0


@settings(max_examples=400, deadline=None)
@given(
    damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 0x4000),
)
def test_corrupted(unit: cunit.Unit, damage: list[tuple[int, int]], cut: int) -> None:
    """Whatever is accepted maps only memory that a program may have, from bytes that exist."""
    image = bytearray(
        build(
            [
                (PT_LOAD, 5, 0, 0x400000, 0, 0x1000, 0x1000, PAGE),
                (PT_INTERP, 4, 0x200, 0x400200, 0, 0x1C, 0x1C, 1),
                (PT_LOAD, 6, 0x1000, 0x401000, 0, 0x800, 0x3000, PAGE),
            ]
        )
    )
    for where, value in damage:
        image[where] = value
    image = image[: max(cut, 64)]
    result, elf = parse(unit, bytes(image))
    assert result in (0, NOEXEC)
    if result:
        return
    end = 0
    for i in range(elf.segments):  # type: ignore[attr-defined]
        segment = elf.segment[i]  # type: ignore[attr-defined]
        assert segment.vaddr % PAGE == 0 and segment.offset % PAGE == 0
        assert segment.vaddr >= end and segment.file_len <= segment.mem_len
        assert segment.offset + segment.file_len <= len(image) or segment.file_len == 0
        end = segment.vaddr + segment.mem_len
        assert end <= USER_END
