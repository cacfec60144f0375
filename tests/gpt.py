# SPDX-License-Identifier: Apache-2.0
"""GUID partition tables for tests. Spec: UEFI 2.8 5.3."""

import struct
import uuid
import zlib
from dataclasses import dataclass

BLOCK = 512
ENTRIES = 128
SOME_TYPE = uuid.UUID(bytes=b"T" * 16)


@dataclass(frozen=True)
class Part:
    number: int
    first: int  # block
    blocks: int
    type: uuid.UUID = SOME_TYPE


def header(lba: int, other: int, entries_lba: int, entries: bytes, blocks: int) -> bytes:
    fields = (0x5452415020494645, 0x10000, 92, 0, 0, lba, other, 34, blocks - 34)
    head = struct.pack("<QIIIIQQQQ", *fields) + bytes(16)
    head += struct.pack("<QIII", entries_lba, ENTRIES, 128, zlib.crc32(entries))
    return head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]


def part_guid(number: int, seed: str = "") -> uuid.UUID:
    """A partition's own GUID on the disk of that seed."""
    return uuid.uuid5(SOME_TYPE, f"{seed}{number}")


def ends(parts: list[Part], blocks: int, seed: str = "") -> tuple[bytes, bytes]:
    """What stands on the first 34 and on the last 33 blocks of a disk of that many."""
    entries = bytearray(ENTRIES * 128)
    for part in parts:
        name = f"part {part.number}".encode("utf-16-le").ljust(72, b"\0")
        last = part.first + part.blocks - 1
        own = part_guid(part.number, seed).bytes_le + struct.pack("<QQQ", part.first, last, 0)
        entries[(part.number - 1) * 128 : part.number * 128] = part.type.bytes_le + own + name
    mbr = bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xEE, 255, 255, 255, 1, blocks - 1)
    first = mbr.ljust(510, b"\0") + b"\x55\xaa"
    first += header(1, blocks - 1, 2, bytes(entries), blocks).ljust(BLOCK, b"\0") + entries
    backup = header(blocks - 1, 1, blocks - 33, bytes(entries), blocks).ljust(BLOCK, b"\0")
    return first, bytes(entries) + backup


def gpt(parts: list[Part], blocks: int, seed: str = "") -> bytearray:
    first, last = ends(parts, blocks, seed)
    return bytearray(first + bytes((blocks - 34 - 33) * BLOCK) + last)
