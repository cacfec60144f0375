# SPDX-License-Identifier: Apache-2.0
"""Birth of guests from ELF files: PVH and Multiboot 2, honest and cut short."""

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.shell.vm import birth, cpu, elf
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import MIB, Segments
from tepui.shell.vm.spec import VmSpec

CODE = b"\xf4" * 64
NOTE = struct.pack("<III4sI", 4, 4, elf.PVH_ENTRY, b"Xen\0", 0x10_0000)
HEADER = struct.pack("<IIIIHHI", 0xE85250D6, 0, 24, -(0xE85250D6 + 24) & 0xFFFF_FFFF, 0, 0, 8)


def image(text: bytes, note: bytes = b"", wide: bool = True) -> bytes:
    """An ELF whose text loads at 1 MiB, linked at the high half, entered at its byte 16."""
    base = 0xFFFFFFFF80000000 if wide else 0x80000000
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]).ljust(12, b"\0")
    head, entry, size = ("<HHIQQQIHHHHHH", base + 16, 56) if wide else ("<HHIIIIIHHHHHH", 0, 32)
    entry = entry or base + 16
    start = len(ident) + struct.calcsize(head)
    out = ident + struct.pack(head, 2, 62, 1, entry, start, 0, 0, start, size, 2, 0, 0, 0)
    offset = start + 2 * size
    for kind, at, data in ((1, offset, text), (4, offset + len(text), note)):
        n = len(data)
        if wide:
            out += struct.pack("<IIQQQQQQ", kind, 5, at, base, MIB, n, n + 100, 1)
        else:
            out += struct.pack("<IIIIIIII", kind, at, base, MIB, n, n + 100, 5, 1)
    return out + text + note


def born(tmp_path: Path, data: bytes, initrd: bytes = b"") -> tuple[cpu.State, dict[int, bytes]]:
    kernel, module = tmp_path / "kernel", tmp_path / "module"
    kernel.write_bytes(data)
    module.write_bytes(initrd)
    memory = Segments(64 * MIB)
    spec = VmSpec("t", memory=64 * MIB, kernel=kernel, append="a b",
                  initrd=module if initrd else None)  # fmt: skip
    state = birth.prepare(spec, memory)
    return state, dict(memory.parts)


@pytest.mark.parametrize("wide", [True, False])
def test_pvh(tmp_path: Path, wide: bool) -> None:
    state, parts = born(tmp_path, image(CODE, NOTE, wide), b"module")
    assert state.rip == 0x10_0000 and state.cr0 & cpu.CR0_PG == 0
    assert parts[MIB] == CODE
    info = parts[state.gpr[cpu.RBX]]
    magic, version, _, modules, listed, line, _, table, rows, _ = struct.unpack_from(
        "<IIIIQQQQII", info
    )
    assert (magic, version, modules) == (0x336EC578, 1, 1)
    assert parts[line] == b"a b\0"
    assert table == elf.INFO + 56 and listed == table + 24 * rows
    address, size = struct.unpack_from("<QQ", info, listed - elf.INFO)
    assert parts[address] == b"module" and size == 6


def test_multiboot2(tmp_path: Path) -> None:
    state, parts = born(tmp_path, image(HEADER + CODE), b"module")
    assert state.rip == MIB + 16 and state.gpr[cpu.RAX] == 0x36D76289
    info = parts[state.gpr[cpu.RBX]]
    assert struct.unpack_from("<I", info)[0] == len(info)
    tags, at = {}, 8
    while at < len(info):
        kind, size = struct.unpack_from("<II", info, at)
        tags[kind] = info[at + 8 : at + size]
        at += size + 7 & ~7
    assert list(tags)[-1] == 0 and tags[1] == b"a b\0" and tags[15][:8] == b"RSD PTR "
    start, end = struct.unpack_from("<II", tags[3])
    assert parts[start] == b"module" and end - start == 6 and tags[3][8:] == b"module\0"


def test_no_entry(tmp_path: Path) -> None:
    with pytest.raises(VmError, match="without a PVH note"):
        born(tmp_path, image(CODE))
    with pytest.raises(VmError, match="do not fit"):
        born(tmp_path, image(HEADER + CODE), bytes(64 * MIB))


@given(st.data())
def test_any_bytes_are_refused_or_read(data: st.DataObject) -> None:
    raw = bytearray(image(HEADER + CODE, NOTE))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(4, 200))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(VmError):
        elf.parse(bytes(raw[: data.draw(st.integers(0, len(raw)))])).pvh_entry()
