# SPDX-License-Identifier: Apache-2.0
"""A guest's SMBIOS tables: BIOS, system, chassis, processor, memory, end.

Source: DMTF DSP0134 3.4 (entry point 5.2.2, structures 7).
"""

import struct

from tepui.shell.vm.acpi import checksummed
from tepui.shell.vm.memory import MIB
from tepui.shell.vm.spec import VmSpec

BASE = 0xF0000
MAKER = "Tepui"


def structure(kind: int, handle: int, body: bytes, *strings: str) -> bytes:
    """A structure with its strings; in the body strings are numbers from 1."""
    text = b"".join(s.encode("ascii", "replace") + b"\0" for s in strings) or b"\0"
    return struct.pack("<BBH", kind, 4 + len(body), handle) + body + text + b"\0"


def _processor(socket: int, cores: int) -> bytes:
    cores8 = min(cores, 255)
    body = struct.pack("<BBBBQBBHHHBB", 1, 3, 0xFE, 2, 0, 3, 0, 0, 0, 0, 0x41, 1)
    body += struct.pack("<HHHBBB", 0xFFFF, 0xFFFF, 0xFFFF, 0, 0, 0)
    body += struct.pack("<BBBHHHHH", cores8, cores8, cores8, 0x0C, 0xFE, cores, cores, cores)
    return structure(4, 0x400 + socket, body, f"CPU {socket}", MAKER, "virtual")


def _memory(size: int) -> list[bytes]:
    kib, mib = size >> 10, size // MIB
    array = struct.pack(
        "<BBBIHHQ", 1, 3, 6, min(kib, 0x80000000), 0xFFFE, 1, size if kib > 0x7FFFFFFF else 0
    )
    device = struct.pack("<HHHHHBBBBBH", 0x1000, 0xFFFE, 64, 64, min(mib, 0x7FFF), 9, 0, 1, 0, 7, 0)
    device += struct.pack("<HBBBBBIHHHH", 0, 2, 0, 0, 0, 0, mib if mib >= 0x7FFF else 0, 0, 0, 0, 0)
    return [
        structure(16, 0x1000, array),
        structure(17, 0x1100, device, "DIMM 0", MAKER),
    ]


def build(spec: VmSpec) -> bytes:
    """Entry point (32-bit, version 2.8) and structures for BASE."""
    parts = [
        structure(
            0,
            0,
            struct.pack("<BBHBBQBBBBBB", 1, 2, 0xE000, 3, 0, 0x08, 0, 0x10, 1, 0, 0xFF, 0xFF),
            MAKER,
            "1",
            "01/01/2026",
        ),
        structure(
            1,
            0x100,
            struct.pack("<BBBB16sBBB", 1, 2, 3, 4, spec.uuid.bytes_le, 6, 0, 0),
            MAKER,
            "Virtual Machine",
            "1",
            str(spec.uuid),
        ),
        structure(
            3,
            0x300,
            struct.pack("<BBBBBBBBBIBBBB", 1, 1, 0, 0, 0, 3, 3, 3, 2, 0, 0, 1, 0, 0),
            MAKER,
        ),
        _processor(0, spec.cpus),
        *_memory(spec.memory),
        structure(32, 0x2000, bytes(7)),
        structure(127, 0x7F00, b""),
    ]
    # The entry point holds the intermediate one (_DMI_) with a checksum of its own, which has to be
    # right before the outer one is summed (SMBIOS 2.8, 5.2.1).
    data = b"".join(parts)
    largest = max(map(len, parts))
    tail = struct.pack("<5sBHIHB", b"_DMI_", 0, len(data), BASE + 32, len(parts), 0x28)
    tail = checksummed(tail, 5)
    head = struct.pack("<4sBBBBHB5s", b"_SM_", 0, 31, 2, 8, largest, 0, bytes(5))
    return checksummed(head + tail, 4).ljust(32, b"\0") + data
