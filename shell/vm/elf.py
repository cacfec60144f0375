# SPDX-License-Identifier: Apache-2.0
"""Kernels that are ELF files: Multiboot 2 and PVH, entered in 32-bit protected mode without paging.

Source: ELF-64 1.5; Multiboot2 2.0, 3.1 to 3.6; Xen docs/misc/pvh.pandoc and start_info.h.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from construct import Const, Int16ul, Int32ul, Int64ul, Padding, Struct

from tepui.shell.vm import cpu
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.linux import Kernel
from tepui.shell.vm.memory import MIB, Memory, low_size

LOAD, NOTE = 1, 4
PVH_ENTRY, PVH_MAGIC = 18, 0x336EC578
MB2_HEADER, MB2_LOADER, MB2_SEARCH = 0xE85250D6, 0x36D76289, 32768
#: Below 640 KiB, out of everybody's way.
INFO, COMMAND_LINE, PAGE = 0x10000, 0x20000, 4096
TAG_END, TAG_COMMAND_LINE, TAG_MODULE, TAG_MEMORY, TAG_MAP, TAG_RSDP = 0, 1, 3, 4, 6, 15
RSDP_SIZE = 36

CLASS32, CLASS64 = 1, 2
HEADER = {
    CLASS32: Struct(Padding(24), "entry" / Int32ul, "phoff" / Int32ul, Padding(10),
                    "phentsize" / Int16ul, "phnum" / Int16ul),
    CLASS64: Struct(Padding(24), "entry" / Int64ul, "phoff" / Int64ul, Padding(14),
                    "phentsize" / Int16ul, "phnum" / Int16ul),
}  # fmt: skip
PROGRAM = {
    CLASS32: Struct("type" / Int32ul, "offset" / Int32ul, "vaddr" / Int32ul, "paddr" / Int32ul,
                    "filesz" / Int32ul, "memsz" / Int32ul, Padding(8)),
    CLASS64: Struct("type" / Int32ul, Padding(4), "offset" / Int64ul, "vaddr" / Int64ul,
                    "paddr" / Int64ul, "filesz" / Int64ul, "memsz" / Int64ul, Padding(8)),
}  # fmt: skip
NOTE_HEADER = Struct("namesz" / Int32ul, "descsz" / Int32ul, "type" / Int32ul)
START_INFO = Struct(
    "magic" / Const(PVH_MAGIC, Int32ul),
    "version" / Const(1, Int32ul),
    "flags" / Const(0, Int32ul),
    "modules" / Int32ul,
    "module_list" / Int64ul,
    "command_line" / Int64ul,
    "rsdp" / Int64ul,
    "map" / Int64ul,
    "map_entries" / Int32ul,
    Padding(4),
)
PVH_MODULE = Struct("address" / Int64ul, "size" / Int64ul, Padding(16))
RANGE = Struct("base" / Int64ul, "size" / Int64ul, "type" / Int32ul, Padding(4))
TAG = Struct("type" / Int32ul, "size" / Int32ul)


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header and its bytes in the file."""

    type: int
    vaddr: int
    paddr: int
    memsz: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Elf:
    entry: int
    segments: tuple[Segment, ...]

    @property
    def end(self) -> int:
        return max((s.paddr + s.memsz for s in self.segments if s.type == LOAD), default=0)

    def physical_entry(self) -> int:
        """Where the entry point was loaded, as GRUB reads e_entry: VmError when nowhere."""
        for s in self.segments:
            if s.type == LOAD and s.vaddr <= self.entry < s.vaddr + s.memsz:
                return self.entry - s.vaddr + s.paddr
        raise VmError("the kernel's entry point is in none of its segments")

    def pvh_entry(self) -> int | None:
        for segment in self.segments:
            if segment.type == NOTE:
                for name, kind, value in notes(segment.data):
                    if name == b"Xen\0" and kind == PVH_ENTRY:
                        return int.from_bytes(value[:8], "little")
        return None


def is_elf(image: bytes) -> bool:
    return image[:4] == b"\x7fELF"


def parse(image: bytes) -> Elf:
    """VmError when it is cut short or for another byte order."""
    try:
        header, program = HEADER[image[4]], PROGRAM[image[4]]
        if image[5] != 1:
            raise ValueError
        h = header.parse(image)
        segments = []
        for n in range(h.phnum):
            p = program.parse(image[h.phoff + n * h.phentsize :])
            data = image[p.offset : p.offset + p.filesz]
            if len(data) != p.filesz or p.memsz < p.filesz:
                raise ValueError
            segments.append(Segment(p.type, p.vaddr, p.paddr, p.memsz, data))
    except (KeyError, IndexError, ValueError) as error:
        raise VmError("the kernel is no ELF file that can be loaded") from error
    except Exception as error:  # construct's errors have no common place in its stubs
        raise VmError("the kernel's ELF headers are cut short") from error
    return Elf(h.entry, tuple(segments))


def notes(data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """(name, type, description) of each note."""
    at, fixed = 0, NOTE_HEADER.sizeof()
    while at + fixed <= len(data):
        n = NOTE_HEADER.parse(data[at:])
        name = at + fixed
        value = name + (n.namesz + 3 & ~3)
        yield data[name : name + n.namesz], n.type, data[value : value + n.descsz]
        at = value + (n.descsz + 3 & ~3)


def is_multiboot2(image: bytes) -> bool:
    """A header for i386 with a right checksum in the first 32 KiB."""
    for at in range(0, min(len(image) - 16, MB2_SEARCH), 8):
        magic, machine, length, checksum = (
            int.from_bytes(image[at + n : at + n + 4], "little") for n in (0, 4, 8, 12)
        )
        if magic == MB2_HEADER and machine == 0:
            return (magic + machine + length + checksum) & 0xFFFF_FFFF == 0
    return False


def tag(kind: int, data: bytes) -> bytes:
    """A tag of the boot information, padded to 8 bytes."""
    size = TAG.sizeof() + len(data)
    return bytes(TAG.build({"type": kind, "size": size}) + data).ljust(size + 7 & ~7, b"\0")


def boot_information(
    kernel: Kernel, module: int, e820: list[tuple[int, int, int]], rsdp: bytes
) -> bytes:
    rows = b"".join(RANGE.build({"base": b, "size": s, "type": t}) for b, s, t in e820)
    upper = next(size for base, size, _ in e820 if base == MIB)
    tags = tag(TAG_COMMAND_LINE, kernel.command_line.encode() + b"\0")
    if kernel.initrd:
        place = Int32ul.build(module) + Int32ul.build(module + len(kernel.initrd))
        tags += tag(TAG_MODULE, place + kernel.module_name.encode() + b"\0")
    tags += tag(TAG_MEMORY, Int32ul.build(e820[0][1] >> 10) + Int32ul.build(upper >> 10))
    tags += tag(TAG_MAP, Int32ul.build(RANGE.sizeof()) + Int32ul.build(0) + rows)
    tags += tag(TAG_RSDP, rsdp) + tag(TAG_END, b"")
    return bytes(Int32ul.build(8 + len(tags)) + Int32ul.build(0) + tags)


def start_info(kernel: Kernel, module: int, e820: list[tuple[int, int, int]], rsdp: int) -> bytes:
    """The structure, the memory map and the list of modules, for address INFO."""
    rows = b"".join(RANGE.build({"base": b, "size": s, "type": t}) for b, s, t in e820)
    table = INFO + START_INFO.sizeof()
    values: dict[str, Any] = {
        "modules": 1 if kernel.initrd else 0,
        "module_list": table + len(rows) if kernel.initrd else 0,
        "command_line": COMMAND_LINE,
        "rsdp": rsdp,
        "map": table,
        "map_entries": len(e820),
    }
    listed = PVH_MODULE.build({"address": module, "size": len(kernel.initrd)})
    return bytes(START_INFO.build(values) + rows + listed)


def load(
    kernel: Kernel, memory: Memory, e820: list[tuple[int, int, int]], rsdp: int, tables: bytes
) -> cpu.State:
    """Writes everything and returns the boot processor's registers. e820: (base, size, type);
    tables: what lies at `rsdp`. VmError when it has neither entry or does not fit."""
    elf, low = parse(kernel.image), low_size(memory.size)
    module = low - len(kernel.initrd) & ~(PAGE - 1)
    if elf.end > module:
        raise VmError(f"kernel and initrd do not fit into {memory.size // MIB} MiB")
    for segment in elf.segments:
        if segment.type == LOAD and segment.data:
            memory.write(segment.paddr, segment.data)
    if kernel.initrd:
        memory.write(module, kernel.initrd)
    entry = elf.pvh_entry()
    if entry is not None:
        memory.write(COMMAND_LINE, kernel.command_line.encode() + b"\0")
        memory.write(INFO, start_info(kernel, module, e820, rsdp))
        return cpu.protected32(entry, {cpu.RBX: INFO})
    if not is_multiboot2(kernel.image):
        raise VmError("the kernel is an ELF file without a PVH note or Multiboot 2 header")
    memory.write(INFO, boot_information(kernel, module, e820, tables[:RSDP_SIZE]))
    return cpu.protected32(elf.physical_entry(), {cpu.RAX: MB2_LOADER, cpu.RBX: INFO})
