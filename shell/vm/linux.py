# SPDX-License-Identifier: Apache-2.0
"""Linux's 64-bit boot protocol: bzImage, command line, initrd, zero page, identity page tables.

Source: Linux Documentation/arch/x86/boot.rst (protocol 2.12+, "64-bit boot protocol") and
zero-page.rst.
"""

from dataclasses import dataclass

from construct import Array, Bytes, Const, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct

from tepui.shell.vm import cpu
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import MIB, Memory, low_size

# Below 640 KiB, out of everybody's way.
GDT, ZERO_PAGE, TABLES, COMMAND_LINE = 0x6000, 0x7000, 0x9000, 0x20000
ENTRY_64 = 0x200
E820_MAX = 128
RAM, RESERVED = 1, 2
LOADER = 0xFF  # "undefined": has no id of its own
XLF_KERNEL_64 = 1
LOADED_HIGH, CAN_USE_HEAP = 1 << 0, 1 << 7
PAGE = 4096

#: The setup header at 1f1h of a bzImage, as far as protocol 2.12.
SETUP = Struct(
    "setup_sects" / Int8ul,
    "root_flags" / Int16ul,
    "syssize" / Int32ul,
    "ram_size" / Int16ul,
    "vid_mode" / Int16ul,
    "root_dev" / Int16ul,
    "boot_flag" / Const(0xAA55, Int16ul),
    "jump" / Int16ul,
    "magic" / Const(b"HdrS"),
    "version" / Int16ul,
    "realmode_swtch" / Int32ul,
    "start_sys_seg" / Int16ul,
    "kernel_version" / Int16ul,
    "type_of_loader" / Int8ul,
    "loadflags" / Int8ul,
    "setup_move_size" / Int16ul,
    "code32_start" / Int32ul,
    "ramdisk_image" / Int32ul,
    "ramdisk_size" / Int32ul,
    "bootsect_kludge" / Int32ul,
    "heap_end_ptr" / Int16ul,
    "ext_loader_ver" / Int8ul,
    "ext_loader_type" / Int8ul,
    "cmd_line_ptr" / Int32ul,
    "initrd_addr_max" / Int32ul,
    "kernel_alignment" / Int32ul,
    "relocatable_kernel" / Int8ul,
    "min_alignment" / Int8ul,
    "xloadflags" / Int16ul,
    "cmdline_size" / Int32ul,
    "hardware_subarch" / Int32ul,
    "hardware_subarch_data" / Int64ul,
    "payload_offset" / Int32ul,
    "payload_length" / Int32ul,
    "setup_data" / Int64ul,
    "pref_address" / Int64ul,
    "init_size" / Int32ul,
)
SETUP_AT = 0x1F1
E820 = Struct("base" / Int64ul, "size" / Int64ul, "type" / Int32ul)
ZERO = Struct(
    Padding(0x70),
    "acpi_rsdp" / Int64ul,
    Padding(0x1E8 - 0x78),
    "e820_entries" / Int8ul,
    Padding(SETUP_AT - 0x1E9),
    "setup" / Bytes(SETUP.sizeof()),
    Padding(0x2D0 - SETUP_AT - SETUP.sizeof()),
    "e820" / Array(E820_MAX, E820),
    Padding(PAGE - 0x2D0 - E820_MAX * 20),
)


@dataclass(frozen=True, slots=True)
class Kernel:
    """What a guest boots: the kernel's bytes, an initrd or nothing, the command line.
    module_name: of the initrd, where the protocol gives modules names."""

    image: bytes
    initrd: bytes = b""
    command_line: str = ""
    module_name: str = ""


def is_linux(image: bytes) -> bool:
    return image[0x202:0x206] == b"HdrS"


def identity_tables(at: int) -> bytes:
    """4 levels that map the first 4 GiB onto themselves by pages of 2 MiB; for address `at`."""
    present, large = 0x3, 0x80
    pointers = [at + PAGE * (2 + n) | present for n in range(4)]
    pages = [n << 21 | present | large for n in range(4 * 512)]

    def table(entries: list[int]) -> bytes:
        return b"".join(Int64ul.build(e) for e in entries).ljust(PAGE, b"\0")

    return table([at + PAGE | present]) + table(pointers) + b"".join(map(Int64ul.build, pages))


def gdt() -> bytes:
    """Null, null, 64-bit code at 10h, data at 18h."""
    return b"".join(map(Int64ul.build, (0, 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF)))


def load(kernel: Kernel, memory: Memory, e820: list[tuple[int, int, int]], rsdp: int) -> cpu.State:
    """Writes everything and returns the boot processor's registers.

    e820: (base, size, type). VmError when it is no 64-bit bzImage or does not fit."""
    if not is_linux(kernel.image):
        raise VmError("the kernel is not a Linux bzImage")
    setup = SETUP.parse(kernel.image[SETUP_AT:])
    if setup.version < 0x20C or not setup.xloadflags & XLF_KERNEL_64:
        raise VmError("the kernel has no 64-bit entry (boot protocol 2.12)")
    command_line = kernel.command_line.encode()
    if len(command_line) > setup.cmdline_size:
        raise VmError(f"the command line is longer than {setup.cmdline_size} bytes")
    # The kernel runs where it prefers to, so it need not relocate itself; init_size includes what
    # it needs to decompress there. The initrd goes as high as the kernel can reach.
    start, low = setup.pref_address, low_size(memory.size)
    end = start + setup.init_size
    initrd = min(low, setup.initrd_addr_max + 1) - len(kernel.initrd) & ~(PAGE - 1)
    if end > (initrd if kernel.initrd else low):
        raise VmError(f"kernel and initrd do not fit into {memory.size // MIB} MiB")
    # A setup_sects of 0 means 4 (boot protocol, "Details of header fields").
    memory.write(start, kernel.image[((setup.setup_sects or 4) + 1) * 512 :])
    if kernel.initrd:
        memory.write(initrd, kernel.initrd)
        setup.ramdisk_image, setup.ramdisk_size = initrd, len(kernel.initrd)
    memory.write(COMMAND_LINE, command_line + b"\0")
    setup.cmd_line_ptr, setup.type_of_loader = COMMAND_LINE, LOADER
    setup.code32_start = start
    setup.loadflags |= LOADED_HIGH | CAN_USE_HEAP
    setup.heap_end_ptr = 0xE000
    rows = [{"base": base, "size": size, "type": kind} for base, size, kind in e820]
    empty = {"base": 0, "size": 0, "type": 0}
    page = {
        "acpi_rsdp": rsdp,
        "e820_entries": len(rows),
        "setup": SETUP.build(setup),
        "e820": rows + [empty] * (E820_MAX - len(rows)),
    }
    memory.write(ZERO_PAGE, ZERO.build(page))
    memory.write(TABLES, identity_tables(TABLES))
    memory.write(GDT, gdt())
    table = cpu.Segment(0, 0, len(gdt()) - 1, GDT)
    return cpu.long64(start + ENTRY_64, TABLES, {cpu.RSI: ZERO_PAGE}, table)
