# SPDX-License-Identifier: Apache-2.0
"""Reading a datastore: pages with their checks, the journal laid over them, files and names."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from tepui.shell.datastore import layout
from tepui.shell.datastore.crc import crc32c
from tepui.shell.datastore.layout import BLOCK, BLOCK_PAGES, PAGE, Type


class DamageError(Exception):
    """A structure is not what the format says."""


class Device(Protocol):
    """Where the volume lies."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly length bytes; raises OSError."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in a directory."""

    name: bytes
    inode: int
    type: int
    hash: int


def name_hash(name: bytes) -> int:
    """FNV-1a, then two rounds of multiply and shift (FORMAT.md, Directories)."""
    mask = (1 << 64) - 1
    h = 0xCBF29CE484222325
    for b in name:
        h = (h ^ b) * 0x100000001B3 & mask
    h = (h ^ h >> 33) * 0xFF51AFD7ED558CCD & mask
    h = (h ^ h >> 33) * 0xC4CEB9FE1A85EC53 & mask
    return h ^ h >> 33


class Volume:
    """A datastore at rest. What the journal holds beyond the pages in place is seen through it."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.super = self._read_super()
        self.overlay: dict[int, bytes] = {}
        self.replayed = self._read_journal()
        self.state = layout.State.parse(self.page(layout.STATE_PAGE, Type.STATE))

    def raw(self, page: int, pages: int = 1) -> bytes:
        return self.device.read_at(page * PAGE, pages * PAGE)

    @staticmethod
    def why_bad(raw: bytes, page: int, kind: Type, tag: bytes) -> str:
        """What is wrong with a page, "" when it is whole."""
        head = layout.PageHead.parse(raw)
        if head.magic != layout.MAGIC:
            return "no magic number"
        if head.page != page:
            return f"says that it is page {head.page}"
        if head.type != kind:
            return f"has type {head.type}, not {kind.name}"
        if head.tag != tag:
            return "belongs to another volume"
        if crc32c(raw[:4] + bytes(4) + raw[8:]) != head.crc:
            return "fails its checksum"
        return ""

    def _read_super(self) -> Any:
        reasons = []
        for page in layout.SUPERS:
            raw = self.raw(page)
            if raw[32:40] != layout.SIGNATURE:
                reasons.append(f"page {page} has no signature")
                continue
            sb = layout.Super.parse(raw)
            why = self.why_bad(raw, page, Type.SUPER, sb.uuid[:4])
            if not why and sb.version != layout.VERSION:
                why = f"has version {sb.version}; this reads {layout.VERSION}"
            if not why:
                return sb
            reasons.append(f"superblock {page} {why}")
        raise DamageError("no datastore: " + "; ".join(reasons))

    def _ring(self, position: int, pages: int) -> bytes:
        """Pages of the journal's ring, around its end."""
        ring = self.super.journal_pages - layout.TAILS
        base = self.super.journal_page + layout.TAILS
        first = min(pages, ring - position)
        return self.raw(base + position, first) + self.raw(base, pages - first)

    def _read_journal(self) -> int:
        """Lays the journal's records over the pages; returns how many there are."""
        # The two tails are written in turn, so one survives a torn write; the greater counter wins.
        tag, tail = self.super.uuid[:4], None
        for i in range(layout.TAILS):
            page = self.super.journal_page + i
            raw = self.raw(page)
            if not self.why_bad(raw, page, Type.TAIL, tag):
                t = layout.Tail.parse(raw)
                tail = t if tail is None or t.counter > tail.counter else tail
        if tail is None:
            raise DamageError("both journal tails fail their check")
        ring = self.super.journal_pages - layout.TAILS
        position, sequence, count = tail.position, tail.sequence, 0
        # The journal ends at the first record that is not whole: a stale one has another number,
        # a torn one a wrong checksum, and a torn one was never acknowledged.
        while True:
            page = self.super.journal_page + layout.TAILS + position
            raw = self._ring(position, 1)
            if self.why_bad(raw, page, Type.JOURNAL, tag):
                return count
            record = layout.Record.parse(raw)
            if record.head.txn != sequence or not 0 < record.count <= layout.RECORD_MAX:
                return count
            images = self._ring((position + 1) % ring, record.count)
            if crc32c(images) != record.images_crc:
                return count
            for i in range(record.count):
                self.overlay[record.page[i]] = images[i * PAGE : (i + 1) * PAGE]
            position = (position + 1 + record.count) % ring
            sequence += 1
            count += 1

    def page(self, page: int, kind: Type) -> bytes:
        """A metadata page's bytes; raises DamageError. Counts that were never written are zeros."""
        if page >= self.super.blocks * BLOCK_PAGES:
            raise DamageError(f"page {page} lies outside of the volume")
        raw = self.overlay.get(page) or self.raw(page)
        if kind in (Type.REFS, Type.SUM1, Type.SUM2) and not any(raw):
            return raw
        if why := self.why_bad(raw, page, kind, self.super.uuid[:4]):
            raise DamageError(f"page {page} ({kind.name}) {why}")
        return raw

    def inode(self, page: int) -> Any:
        return layout.Inode.parse(self.page(page, Type.INODE))

    def children(self, inode: Any) -> Iterator[tuple[int, int]]:
        """(slot, page) of every leaf or bucket of an inode's tree."""

        def walk(page: int, height: int, base: int) -> Iterator[tuple[int, int]]:
            if height == 0:
                yield base, page
                return
            span = layout.INDEX_PER ** (height - 1)
            index = layout.Index.parse(self.page(page, Type.INDEX))
            for i, child in enumerate(index.child):
                if child:
                    yield from walk(child, height - 1, base + i * span)

        if inode.height > layout.HEIGHT_MAX:
            raise DamageError(f"inode {inode.head.page} has a tree of {inode.height} levels")
        if inode.root:
            yield from walk(inode.root, inode.height, 0)

    def index_pages(self, inode: Any) -> Iterator[int]:
        """The index pages of an inode's tree."""

        def walk(page: int, height: int) -> Iterator[int]:
            if height:
                yield page
                for child in layout.Index.parse(self.page(page, Type.INDEX)).child:
                    if child:
                        yield from walk(child, height - 1)

        if inode.root:
            yield from walk(inode.root, inode.height)

    def blocks(self, inode: Any) -> Iterator[tuple[int, Any]]:
        """(block of the file, map entry) of every block that is mapped."""
        for slot, page in self.children(inode):
            for i, entry in enumerate(layout.Map.parse(self.page(page, Type.MAP)).entry):
                if entry.block:
                    yield slot * layout.MAP_PER + i, entry

    def chain(self, page: int) -> Iterator[tuple[int, Any]]:
        """(page, bucket) of a bucket and its overflow pages; a loop is damage."""
        seen = set[int]()
        while page:
            if page in seen:
                raise DamageError(f"the chain of buckets at page {page} is a loop")
            if len(seen) == layout.CHAIN_MAX:
                raise DamageError(f"the chain of buckets at page {page} is too long")
            seen.add(page)
            bucket = layout.Bucket.parse(self.page(page, Type.BUCKET))
            if bucket.used > PAGE - 48:
                raise DamageError(f"bucket {page} says {bucket.used} bytes")
            yield page, bucket
            page = bucket.next

    def entries(self, inode: Any) -> Iterator[Entry]:
        """The names of a directory, in no order."""
        for _, first in self.children(inode):
            for page, bucket in self.chain(first):
                at = 0
                while at < bucket.used:
                    if at + layout.NAME_SIZE > bucket.used:
                        raise DamageError(f"bucket {page} is torn")
                    n = layout.Name.parse(bucket.data[at:])
                    name = bucket.data[at + layout.NAME_SIZE :][: n.len]
                    at += (layout.NAME_SIZE + n.len + 7) & ~7
                    if at > bucket.used or not n.len:
                        raise DamageError(f"bucket {page} is torn")
                    yield Entry(name, n.inode, n.type, n.hash)

    def read(self, inode: Any, offset: int, length: int) -> bytes:
        """Contents of a file; unwritten parts are zeros; clipped at the end."""
        length = max(0, min(length, inode.size - offset))
        out = bytearray(length)
        for at, data in self.pieces(inode, offset, offset + length):
            lo, hi = max(at, offset), min(at + len(data), offset + length)
            if lo < hi:
                out[lo - offset : hi - offset] = data[lo - at : hi - at]
        return bytes(out)

    def pieces(self, inode: Any, start: int = 0, end: int = 1 << 63) -> Iterator[tuple[int, bytes]]:
        """(offset, data) of what was written, in order, clipped at the file's end.

        Runs of 4 KiB pieces of one block each; those that touch [start, end)."""
        if inode.flags & layout.INLINE:
            yield 0, bytes(inode.data[: inode.size])
            return
        for index, entry in self.blocks(inode):
            if not start - BLOCK < index * BLOCK < end:
                continue
            bits = int.from_bytes(entry.written, "little")
            bits &= -1 << max(0, start - index * BLOCK) // PAGE
            bits &= (1 << min(256, -(-(end - index * BLOCK) // PAGE))) - 1
            first = 0
            while bits >> first:
                first += (bits >> first & -(bits >> first)).bit_length() - 1
                count = (~(bits >> first) & (bits >> first) + 1).bit_length() - 1
                at = index * BLOCK + first * PAGE
                size = min(count * PAGE, inode.size - at)
                if size > 0:
                    place = entry.block * BLOCK + first * PAGE
                    yield at, self.device.read_at(place, count * PAGE)[:size]
                first += count

    def walk(self) -> Iterator[tuple[str, Any]]:
        """(path, inode) of everything with a name, the root as "/"."""
        todo = [("/", self.state.root)]
        while todo:
            path, page = todo.pop()
            inode = self.inode(page)
            yield path, inode
            if stat.S_ISDIR(inode.mode):
                for e in self.entries(inode):
                    name = e.name.decode("utf-8", "surrogateescape")
                    todo.append((f"{path.rstrip('/')}/{name}", e.inode))

    def find(self, path: str) -> Any:
        """The inode at a path; raises FileNotFoundError."""
        inode = self.inode(self.state.root)
        for part in filter(None, path.split("/")):
            wanted = part.encode("utf-8", "surrogateescape")
            match = [e for e in self.entries(inode) if e.name == wanted]
            if not match:
                raise FileNotFoundError(path)
            inode = self.inode(match[0].inode)
        return inode
