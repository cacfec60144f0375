# SPDX-License-Identifier: Apache-2.0
"""GUID partition tables: read, checked, built. Source: UEFI 2.8, 5.2.3 and 5.3.

Positions are in blocks of the disk's own size. The types that Tepui gives its partitions stand in
`Type`: the OS data and the datastores are found by them.
"""

import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from construct import Bytes, Const, ConstructError, Int32ul, Int64ul, Struct

from tepui.shell.datastore import partitions

ENTRIES, ENTRY_SIZE, HEADER_SIZE = 128, 128, 92
TABLE_SIZE = ENTRIES * ENTRY_SIZE

HEADER = Struct(
    "signature" / Const(b"EFI PART"),
    "revision" / Const(0x10000, Int32ul),
    "header_size" / Const(HEADER_SIZE, Int32ul),
    "header_crc" / Int32ul,
    "reserved" / Const(0, Int32ul),
    "my_lba" / Int64ul,
    "alternate_lba" / Int64ul,
    "first_usable" / Int64ul,
    "last_usable" / Int64ul,
    "disk_guid" / Bytes(16),
    "entries_lba" / Int64ul,
    "entry_count" / Const(ENTRIES, Int32ul),
    "entry_size" / Const(ENTRY_SIZE, Int32ul),
    "entries_crc" / Int32ul,
)
ENTRY = Struct(
    "type" / Bytes(16),
    "guid" / Bytes(16),
    "first" / Int64ul,
    "last" / Int64ul,
    "attributes" / Int64ul,
    "name" / Bytes(72),
)
PROTECTIVE = Struct(
    "head" / Const(b"\x00\x00\x02\x00\xee\xff\xff\xff\x01\x00\x00\x00"),
    "blocks" / Int32ul,
)

#: Boot code for a disk that must not be booted yet: INT 18h, back to the firmware; then stay.
NO_BOOT = b"\xcd\x18\xeb\xfe"


class GptError(ValueError):
    """The disk holds no valid GPT."""


class Type(Enum):
    """Partition types: UEFI's, GRUB's, Microsoft's basic data for the banks (FAT), and our own."""

    ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
    BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
    BOOTBANK = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
    OS_DATA = partitions.OS_DATA
    DATASTORE = partitions.DATASTORE


@dataclass(frozen=True, slots=True)
class Partition:
    """first and last are blocks, both inside; a name has at most 36 UTF-16 units."""

    number: int  # from 1
    type: uuid.UUID
    guid: uuid.UUID
    first: int
    last: int
    name: str

    @property
    def blocks(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Table:
    """A disk of `blocks` blocks and its partitions."""

    guid: uuid.UUID
    block_size: int
    blocks: int
    partitions: tuple[Partition, ...]

    @property
    def first_usable(self) -> int:
        return 2 + TABLE_SIZE // self.block_size

    @property
    def last_usable(self) -> int:
        return self.blocks - TABLE_SIZE // self.block_size - 2

    def find(self, kind: Type) -> Partition | None:
        """The first partition of a type."""
        return next((p for p in self.partitions if p.type == kind.value), None)


def check(table: Table) -> None:
    """Raises GptError for partitions that leave the disk, overlap, or share a number."""
    last = table.first_usable - 1
    for p in sorted(table.partitions, key=lambda p: p.first):
        if not last < p.first <= p.last <= table.last_usable:
            raise GptError(f"partition {p.number} overlaps or leaves the disk")
        last = p.last
    numbers = {p.number for p in table.partitions}
    if len(numbers) < len(table.partitions) or not numbers <= set(range(1, ENTRIES + 1)):
        raise GptError("a partition's number is wrong")


def _entries(table: Table) -> bytes:
    out = bytearray(TABLE_SIZE)
    for p in table.partitions:
        name = p.name.encode("utf-16-le").ljust(72, b"\0")
        ids = {"type": p.type.bytes_le, "guid": p.guid.bytes_le, "name": name}
        at = (p.number - 1) * ENTRY_SIZE
        built = ENTRY.build({**ids, "first": p.first, "last": p.last, "attributes": 0})
        out[at : at + ENTRY_SIZE] = built
    return bytes(out)


def _header(table: Table, entries: bytes, backup: bool) -> bytes:
    last = table.blocks - 1
    values: dict[str, Any] = {
        "header_crc": 0,
        "my_lba": last if backup else 1,
        "alternate_lba": 1 if backup else last,
        "first_usable": table.first_usable,
        "last_usable": table.last_usable,
        "disk_guid": table.guid.bytes_le,
        "entries_lba": table.last_usable + 1 if backup else 2,
        "entries_crc": zlib.crc32(entries),
    }
    crc = zlib.crc32(HEADER.build(values))
    header: bytes = HEADER.build(dict(values, header_crc=crc))
    return header.ljust(table.block_size, b"\0")


def boot_record(table: Table, code: bytes) -> bytes:
    """Block 0: boot code (440 bytes at most) and the protective partition."""
    blocks = min(table.blocks - 1, 0xFFFFFFFF)
    record: bytes = code.ljust(446, b"\0") + PROTECTIVE.build({"blocks": blocks}) + bytes(48)
    return (record + b"\x55\xaa").ljust(table.block_size, b"\0")


def build(table: Table, code: bytes = NO_BOOT) -> tuple[bytes, bytes]:
    """What lies at the disk's begin (boot record, header, entries) and at its end."""
    check(table)
    entries = _entries(table)
    primary = boot_record(table, code) + _header(table, entries, backup=False) + entries
    return primary, entries + _header(table, entries, backup=True)


def _read(read: Callable[[int, int], bytes], block_size: int, blocks: int, lba: int) -> Table:
    block = read(lba * block_size, block_size)
    header = HEADER.parse(block)
    crc = zlib.crc32(HEADER.build(dict(header, header_crc=0)))
    if crc != header.header_crc or header.my_lba != lba:
        raise GptError("the header is damaged")
    entries = read(header.entries_lba * block_size, TABLE_SIZE)
    if zlib.crc32(entries) != header.entries_crc:
        raise GptError("the entries are damaged")
    partitions = []
    for index in range(ENTRIES):
        entry = entries[index * ENTRY_SIZE :][:ENTRY_SIZE]
        if any(entry[:16]):
            e = ENTRY.parse(entry)
            name = e.name.decode("utf-16-le", "replace").split("\0")[0]
            kind, guid = uuid.UUID(bytes_le=e.type), uuid.UUID(bytes_le=e.guid)
            partitions.append(Partition(index + 1, kind, guid, e.first, e.last, name))
    guid = uuid.UUID(bytes_le=header.disk_guid)
    table = Table(guid, block_size, blocks, tuple(partitions))
    check(table)
    return table


def parse(read: Callable[[int, int], bytes], block_size: int, blocks: int) -> Table:
    """The table of a disk; read(offset, length) in bytes. The backup serves where the primary is
    damaged. Raises GptError; only tables of 128 entries, as everybody makes them, are read."""
    reason = ""
    for lba in (1, blocks - 1):
        try:
            return _read(read, block_size, blocks, lba)
        except (GptError, ConstructError, OSError) as e:
            reason = reason or str(e)
    raise GptError(f"no GPT: {reason}")
