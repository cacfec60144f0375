# SPDX-License-Identifier: Apache-2.0
"""The on-disk format, declared from vmkernel/storage/FORMAT.md (not from the kernel's headers).

All integers are little-endian. A volume is counted in pages of 4,096 bytes and blocks of 1 MiB.
"""

import struct
from enum import IntEnum
from typing import Any

from construct import (
    Array,
    Bytes,
    Const,
    ExprAdapter,
    GreedyBytes,
    Int8ul,
    Int32ul,
    Int64ul,
    Padding,
    Struct,
)

PAGE = 4096
BLOCK = 1 << 20
BLOCK_PAGES = BLOCK // PAGE
MAGIC = 0x31534454
SIGNATURE = b"TEPUI-DS"
VERSION = 1
SUPERS = (0, 8)
STATE_PAGE = 9
REFS_PER = SUM1_PER = (PAGE - 32) // 2
SUM2_PER = (PAGE - 32) // 4
MAP_PER = 100
INDEX_PER = 508
INLINE_MAX = PAGE - 192
HEIGHT_MAX = 3
BUCKETS_MAX = 1 << 20
CHAIN_MAX = 32
RECORD_MAX = 480
TAILS = 2
INLINE, TRUNCATING = 1, 2


class Type(IntEnum):
    SUPER = 1
    STATE = 2
    REFS = 3
    SUM1 = 4
    SUM2 = 5
    META = 6
    INODE = 7
    MAP = 8
    INDEX = 9
    BUCKET = 10
    JOURNAL = 11
    TAIL = 12


def integers(count: int, code: str) -> Any:
    """`count` integers of struct's `code`, read at once: a page of counts has 2,032 of them."""
    whole = struct.Struct(f"<{count}{code}")
    return ExprAdapter(
        Bytes(whole.size), lambda raw, _: whole.unpack(raw), lambda values, _: whole.pack(*values)
    )


Head: Any = Struct(
    "magic" / Int32ul,
    "crc" / Int32ul,
    "page" / Int64ul,
    "txn" / Int64ul,
    "type" / Int32ul,
    "tag" / Bytes(4),
)

Super: Any = Struct(
    "head" / Head,
    "signature" / Const(SIGNATURE),
    "version" / Int32ul,
    "flags" / Int32ul,
    "uuid" / Bytes(16),
    "label" / Bytes(64),
    "blocks" / Int64ul,
    "journal_page" / Int64ul,
    "journal_pages" / Int64ul,
    "refs_page" / Int64ul,
    "refs_pages" / Int64ul,
    "sum1_page" / Int64ul,
    "sum1_pages" / Int64ul,
    "sum2_page" / Int64ul,
    "state_page" / Int64ul,
    "first_block" / Int64ul,
    "heartbeat_page" / Int64ul,
    "heartbeat_pages" / Int64ul,
)

State: Any = Struct(
    "head" / Head,
    "root" / Int64ul,
    "meta_free" / Int64ul,
    "orphans" / Int64ul,
    "used" / Int64ul,
    "generation" / Int64ul,
    "inodes" / Int64ul,
)

Meta: Any = Struct(
    "head" / Head,
    "next" / Int64ul,
    "used" / Int32ul,
    "listed" / Int32ul,
    "bitmap" / Bytes(BLOCK_PAGES // 8),
)

Inode: Any = Struct(
    "head" / Head,
    "generation" / Int64ul,
    "mode" / Int32ul,
    "nlink" / Int32ul,
    "uid" / Int32ul,
    "gid" / Int32ul,
    "size" / Int64ul,
    "mtime" / Int64ul,
    "ctime" / Int64ul,
    "root" / Int64ul,
    "height" / Int32ul,
    "flags" / Int32ul,
    "blocks" / Int64ul,
    "orphan" / Int64ul,
    "entries" / Int64ul,
    "buckets" / Int64ul,
    "parent" / Int64ul,
    Padding(56),
    "data" / Bytes(INLINE_MAX),
).compile()

MapEntry: Any = Struct("block" / Int64ul, "written" / Bytes(32))
Map: Any = Struct("head" / Head, "entry" / Array(MAP_PER, MapEntry)).compile()
Index: Any = Struct("head" / Head, "child" / integers(INDEX_PER, "Q"))

Bucket: Any = Struct(
    "head" / Head, "next" / Int64ul, "used" / Int32ul, Padding(4), "data" / GreedyBytes
)
#: An entry of a bucket: this, `len` bytes of name, zeros to a multiple of 8.
Name: Any = Struct("inode" / Int64ul, "hash" / Int64ul, "type" / Int8ul, "len" / Int8ul)
NAME_SIZE = 18

Tail: Any = Struct("head" / Head, "counter" / Int64ul, "position" / Int64ul, "sequence" / Int64ul)
Record: Any = Struct(
    "head" / Head, "count" / Int32ul, "images_crc" / Int32ul, "page" / integers(RECORD_MAX, "Q")
)
#: Counts of REFS and SUM1 pages, of SUM2 pages.
Counts16: Any = integers(REFS_PER, "H")
Counts32: Any = integers(SUM2_PER, "I")
#: What every page begins with, as each is looked at first.
PageHead: Any = Head.compile()
