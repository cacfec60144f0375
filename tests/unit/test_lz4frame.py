# SPDX-License-Identifier: Apache-2.0
"""LZ4 frames as Debian's lz4 writes them, whole and broken; boot memory that is given back."""

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

EINVAL = 22
USUAL = ("-12", "--content-size", "--no-frame-crc")
CONTENTS = {
    "byte": b"x",
    "text": b"".join(b"%d lines of text\n" % n for n in range(9999)),
    "noise": random.Random(1).randbytes(70000),
    "blocks": (b"block " * 1000 + random.Random(2).randbytes(9000)) * 700,
}


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "lz4frame",
        ["vmkernel/lib/lz4frame.c", "build/src/lz4/lib/lz4.c"],
        ["vmk/lz4frame.h"],
        options=["-isystem", "build/src/lz4/lib"],
    )


def pack(path: Path, data: bytes, *options: str) -> bytes:
    path.write_bytes(data)
    command = ["lz4", "-q", "-c", *options, str(path)]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("lz4") / "content"
    return {name: pack(path, data, *USUAL) for name, data in CONTENTS.items()}


def size_of(unit: cunit.Unit, frame: bytes) -> int:
    return int(unit.lib.lz4frame_size(unit.ffi.new("uint8_t[]", frame), len(frame)))


def unpack(unit: cunit.Unit, frame: bytes, size: int) -> bytes | int:
    """ASan watches the bounds of both."""
    memory, out = unit.ffi.new("uint8_t[]", frame), unit.ffi.new("uint8_t[]", size)
    result = unit.lib.lz4frame_unpack(memory, len(frame), out, size)
    return int(result) or bytes(unit.ffi.buffer(out))


@pytest.mark.parametrize("name", CONTENTS)
def test_content_comes_back(unit: cunit.Unit, frames: dict[str, bytes], name: str) -> None:
    assert size_of(unit, frames[name]) == len(CONTENTS[name])
    assert unpack(unit, frames[name], len(CONTENTS[name])) == CONTENTS[name]


@pytest.mark.parametrize("options", [("-B4",), ("-BX",), ("-B4", "-BX", "-1"), ("-B7", "-9")])
def test_other_sizes_and_checksums(
    unit: cunit.Unit, tmp_path: Path, options: tuple[str, ...]
) -> None:
    data = CONTENTS["blocks"]
    frame = pack(tmp_path / "content", data, "--content-size", *options)
    assert unpack(unit, frame, len(data)) == data


def test_what_is_no_frame_of_this_kind(unit: cunit.Unit, tmp_path: Path) -> None:
    data, path = CONTENTS["blocks"], tmp_path / "content"
    for options in ((), ("--content-size", "-BD"), ("-l",)):
        assert size_of(unit, pack(path, data, *options)) == 0
    assert size_of(unit, pack(path, b"", "--content-size")) == 0
    assert not unit.lib.lz4frame_here(unit.ffi.new("uint8_t[]", b"070701" * 9), 54)
    frame = pack(path, data, *USUAL)
    for wrong in (len(data) - 1, len(data) + 1, 0):
        assert unpack(unit, frame, wrong) == -EINVAL


@pytest.mark.parametrize("name", CONTENTS)
def test_cut_short(unit: cunit.Unit, frames: dict[str, bytes], name: str) -> None:
    frame = frames[name]
    for end in {*range(min(len(frame), 40)), len(frame) // 2, len(frame) - 4, len(frame) - 1}:
        assert unpack(unit, frame[:end], len(CONTENTS[name])) == -EINVAL


@given(st.data())
def test_broken(unit: cunit.Unit, frames: dict[str, bytes], data: st.DataObject) -> None:
    """Without checksums other content may come out; ASan sees to it that it has room."""
    name = data.draw(st.sampled_from(["byte", "text"]))
    frame = bytearray(frames[name])
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    got = unpack(unit, bytes(frame), len(CONTENTS[name]))
    assert isinstance(got, bytes) or got == -EINVAL


#: Pages of a machine with as many: what is reserved and released, by first page and count.
PAGES = 64
CHANGES = st.lists(st.tuples(st.booleans(), st.integers(0, PAGES - 1), st.integers(1, 9)))
FREED = """
#include "early/bootmem.c"
char *direct_host; /* boot_alloc's alone */
struct boot_info boot_info;
uint8_t freed[64];
static void mark(pa_t base, uint64_t len, unsigned node)
{
	memset(freed + base / PAGE_SIZE, 1, len / PAGE_SIZE);
}
void start(void)
{
	reserved_count = 0;
	closed = false;
	memset(freed, 0, sizeof(freed));
	boot_info.ranges = 1;
	boot_info.range[0] = (struct boot_range){ .len = 64 * PAGE_SIZE, .type = BOOT_RAM };
}
void finish(void)
{
	boot_free_ranges(mark);
}
"""


@pytest.fixture(scope="module")
def bootmem() -> cunit.Unit:
    cdef = "extern uint8_t freed[64]; void start(void); void finish(void);"
    return cunit.build("bootmem", [], ["vmk/boot.h"], cdef=cdef, code=FREED)


@given(CHANGES)
def test_boot_memory_is_given_back(
    bootmem: cunit.Unit, changes: list[tuple[bool, int, int]]
) -> None:
    """What is released is what was reserved as one piece, or a part of it."""
    lib, held = bootmem.lib, [False] * PAGES
    lib.start()
    for reserve, first, count in changes:
        pages = slice(first, first + count)
        if reserve:
            lib.boot_reserve(first * 4096, count * 4096 - 7)
            held[pages] = [True] * len(held[pages])
        elif all(held[pages]) and first + count <= PAGES:
            lib.boot_release(first * 4096, count * 4096 - 7)
            held[pages] = [False] * len(held[pages])
    lib.finish()
    assert [not page for page in held] == [bool(page) for page in lib.freed]
