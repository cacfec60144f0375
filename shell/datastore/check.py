# SPDX-License-Identifier: Apache-2.0
"""Checks every structure of a datastore and reports what is wrong; changes nothing."""

import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tepui.shell.datastore import layout
from tepui.shell.datastore.layout import BLOCK, BLOCK_PAGES, PAGE, Type
from tepui.shell.datastore.volume import DamageError, Device, Volume, name_hash


@dataclass(slots=True)
class Report:
    """What was found: problems (empty: the volume is sound) and totals."""

    problems: list[str] = field(default_factory=list)
    files: int = 0
    directories: int = 0
    blocks_used: int = 0
    blocks: int = 0
    replayed: int = 0  # transactions that the next mount will replay


class Checker:
    """One pass over a volume: the tree first, then the counts that must follow from it."""

    def __init__(self, volume: Volume) -> None:
        self.volume = volume
        self.report = Report(blocks=volume.super.blocks, replayed=volume.replayed)
        self.refs: Counter[int] = Counter()
        self.pages: dict[int, str] = {}
        self.links: Counter[int] = Counter()
        self.seen: dict[int, Any] = {}

    def bad(self, text: str) -> None:
        self.report.problems.append(text)

    def take_page(self, page: int, what: str) -> None:
        """A metadata page belongs to one owner."""
        if page in self.pages:
            self.bad(f"page {page} is {what} and {self.pages[page]}")
        self.pages[page] = what

    def run(self) -> Report:
        try:
            self.superblocks()
            self.tree()
            self.orphans()
            self.link_counts()
            self.metadata_blocks()
            self.counts()
        except DamageError as e:
            self.bad(str(e))
        return self.report

    def superblocks(self) -> None:
        """Both copies are whole and alike."""
        copies = [self.volume.raw(page) for page in layout.SUPERS]
        for page, raw in zip(layout.SUPERS, copies, strict=True):
            why = self.volume.why_bad(raw, page, Type.SUPER, self.volume.super.uuid[:4])
            if why or raw[32:] != copies[0][32:]:
                self.bad(f"superblock {page} {why or 'differs from the first'}")

    def tree(self) -> None:
        root = self.volume.state.root
        todo = [("/", root, root)]
        self.links[root] += 1
        while todo:
            path, page, parent = todo.pop()
            if page in self.seen:
                continue
            inode = self.inode(page, path)
            if stat.S_ISDIR(inode.mode):
                self.report.directories += 1
                if inode.parent != parent:
                    self.bad(f"{path}: parent is {inode.parent}, not {parent}")
                todo += self.directory(path, inode)
            else:
                self.report.files += 1

    def inode(self, page: int, path: str) -> Any:
        inode = self.seen[page] = self.volume.inode(page)
        self.take_page(page, f"inode of {path}")
        for index in self.volume.index_pages(inode):
            self.take_page(index, f"index of {path}")
        if not stat.S_ISDIR(inode.mode):
            self.contents(path, inode)
        return inode

    def contents(self, path: str, inode: Any) -> None:
        """A file's map: every block in the data area, nothing written behind the end."""
        if inode.flags & layout.INLINE:
            if inode.size > layout.INLINE_MAX or inode.root:
                self.bad(f"{path}: inline, but {inode.size} bytes or with a map")
            elif any(inode.data[inode.size :]):
                self.bad(f"{path}: bytes behind the end are not zero")
            return
        for _, page in self.volume.children(inode):
            self.take_page(page, f"map of {path}")
        count = 0
        for index, entry in self.volume.blocks(inode):
            count += 1
            self.refs[entry.block] += 1
            if not self.volume.super.first_block <= entry.block < self.volume.super.blocks:
                self.bad(f"{path}: block {index} lies at {entry.block}, outside of the data area")
            if inode.flags & layout.TRUNCATING:
                continue
            pieces = max(0, min(256, -(-(inode.size - index * BLOCK) // PAGE)))
            if int.from_bytes(entry.written, "little") >> pieces:
                self.bad(f"{path}: block {index} has written pieces behind the end")
        if count != inode.blocks:
            self.bad(f"{path}: {count} blocks are mapped, the inode says {inode.blocks}")

    def directory(self, path: str, inode: Any) -> list[tuple[str, int, int]]:
        """A directory's buckets and names; returns what lies below."""
        below, names = [], Counter[bytes]()
        slots = dict(self.volume.children(inode))
        if inode.buckets > layout.BUCKETS_MAX:
            raise DamageError(f"{path}: {inode.buckets} buckets")
        if set(slots) != set(range(inode.buckets)):
            self.bad(f"{path}: {len(slots)} buckets, the inode says {inode.buckets}")
        for first in slots.values():
            for page, _ in self.volume.chain(first):
                self.take_page(page, f"bucket of {path}")
        for slot, e in self._slot_entries(inode, slots):
            names[e.name] += 1
            if e.hash != name_hash(e.name) or self.bucket(inode.buckets, e.hash) != slot:
                self.bad(f"{path}: {e.name!r} stands in the wrong bucket")
            self.links[e.inode] += 1
            text = e.name.decode("utf-8", "surrogateescape")
            below.append((f"{path.rstrip('/')}/{text}", e.inode, inode.head.page))
        if sum(names.values()) != inode.entries:
            self.bad(f"{path}: {sum(names.values())} names, the inode says {inode.entries}")
        self.problems_of_names(path, names)
        return below

    def problems_of_names(self, path: str, names: Counter[bytes]) -> None:
        for name, n in names.items():
            if n > 1 or b"/" in name or b"\0" in name or name in (b".", b".."):
                self.bad(f"{path}: the name {name!r} is there {n} times or not allowed")

    def _slot_entries(self, inode: Any, slots: dict[int, int]) -> list[tuple[int, Any]]:
        rows = []
        for slot, first in slots.items():
            single = inode.copy()
            single.root, single.height = first, 0
            rows += [(slot, e) for e in self.volume.entries(single)]
        return rows

    @staticmethod
    def bucket(buckets: int, value: int) -> int:
        """Linear hashing: which of `buckets` a hash falls into."""
        bits = buckets.bit_length() - 1
        low = value & ((2 << bits) - 1)
        return low if low < buckets else value & ((1 << bits) - 1)

    def orphans(self) -> None:
        """Unfinished deletions and truncations: legal, and they hold blocks and pages."""
        page, seen = self.volume.state.orphans, set()
        while page:
            if page in seen:
                raise DamageError("the orphan list is a loop")
            seen.add(page)
            inode = self.seen.get(page) or self.orphan(page)
            if inode.nlink and not inode.flags & layout.TRUNCATING:
                self.bad(f"inode {page} is an orphan, but has names and is not being truncated")
            page = inode.orphan
        for page, inode in self.seen.items():
            if inode.flags & layout.TRUNCATING and page not in seen:
                self.bad(f"inode {page} is being truncated, but is no orphan")

    def orphan(self, page: int) -> Any:
        inode = self.inode(page, f"orphan {page}")
        if stat.S_ISDIR(inode.mode):
            for _, first in self.volume.children(inode):
                for bucket, _ in self.volume.chain(first):
                    self.take_page(bucket, f"bucket of orphan {page}")
        return inode

    def link_counts(self) -> None:
        below = Counter(
            self.seen[page].parent
            for page, inode in self.seen.items()
            if stat.S_ISDIR(inode.mode) and page != self.volume.state.root and inode.nlink
        )
        for page, inode in self.seen.items():
            expected = self.links[page]
            if stat.S_ISDIR(inode.mode) and expected:
                expected += 1 + below[page]
            if inode.nlink != expected:
                self.bad(f"inode {page}: {expected} links, the inode says {inode.nlink}")
        if len(self.seen) != self.volume.state.inodes:
            self.bad(f"{len(self.seen)} inodes, the volume says {self.volume.state.inodes}")

    def metadata_blocks(self) -> None:
        """Bitmaps of metadata blocks hold exactly the pages in use; the free list all with room."""
        wanted: dict[int, int] = {}
        # Bit 0 is the metadata block's own header page, which is always taken.
        for page in self.pages:
            base = page - page % BLOCK_PAGES
            wanted[base] = wanted.get(base, 1) | 1 << page % BLOCK_PAGES
        listed, page = set(), self.volume.state.meta_free
        while page:
            if page in listed:
                raise DamageError("the list of metadata blocks is a loop")
            listed.add(page)
            page = layout.Meta.parse(self.volume.page(page, Type.META)).next
        for base in sorted(set(wanted) | listed):
            meta = layout.Meta.parse(self.volume.page(base, Type.META))
            bits = int.from_bytes(meta.bitmap, "little")
            # The block map counts a metadata block once, however many of its pages are used.
            self.refs[base // BLOCK_PAGES] += 1
            if bits != wanted.get(base, 1):
                self.bad(f"metadata block at page {base}: the bitmap differs from the pages in use")
            if meta.used != bits.bit_count():
                self.bad(
                    f"metadata block at page {base}: {bits.bit_count()} taken, says {meta.used}"
                )
            if bool(meta.listed) != (base in listed) or (meta.used < BLOCK_PAGES) != (
                base in listed
            ):
                self.bad(f"metadata block at page {base}: wrongly on or off the free list")

    def counts(self) -> None:
        """Reference counts and both sums."""
        sb, total = self.volume.super, self.volume.super.first_block
        sum2 = layout.Counts32.parse(self.volume.page(sb.sum2_page, Type.SUM2)[32:])
        for s in range(sb.sum1_pages):
            sum1 = layout.Counts16.parse(self.volume.page(sb.sum1_page + s, Type.SUM1)[32:])
            used_here = 0
            for i in range(min(layout.SUM1_PER, sb.refs_pages - s * layout.SUM1_PER)):
                used = self.refs_page(s * layout.SUM1_PER + i)
                if used != sum1[i]:
                    self.bad(f"refs page {i} of sum {s}: {used} used, the sum says {sum1[i]}")
                used_here += used
            if used_here != sum2[s]:
                self.bad(f"sum page {s}: {used_here} used, the sum says {sum2[s]}")
            total += used_here
        if total != self.volume.state.used:
            self.bad(f"{total} blocks are used, the volume says {self.volume.state.used}")
        self.report.blocks_used = total

    def refs_page(self, index: int) -> int:
        """Compares one page of reference counts; returns how many blocks it calls used."""
        raw = self.volume.page(self.volume.super.refs_page + index, Type.REFS)[32:]
        first = index * layout.REFS_PER
        if not any(raw):
            wrong = [b for b in self.refs if first <= b < first + layout.REFS_PER]
            for block in wrong:
                self.bad(f"block {block}: {self.refs[block]} references, its count says 0")
            return 0
        used = 0
        for i, count in enumerate(layout.Counts16.parse(raw)):
            used += count > 0
            if count != self.refs[first + i]:
                self.bad(
                    f"block {first + i}: {self.refs[first + i]} references, its count says {count}"
                )
        return used


def check(device: Device) -> Report:
    """Checks a volume; raises DamageError when it cannot even be opened."""
    return Checker(Volume(device)).run()
