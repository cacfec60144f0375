# SPDX-License-Identifier: Apache-2.0
"""Crafted datastores: a valid volume whose structures are changed and whose checksums are made
right again, then mounted and used.

What an attacker who writes a disk can do, as far as single fields and pages go: pointers into wrong
places, cycles, counts and sizes that do not fit, pages of another type, records in the journal.
Nothing here knows what the kernel checks; it only keeps the seals right, so that every change
reaches the code behind them."""

import contextlib
import os
import random
import signal
import stat
import struct
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tepui.shell.datastore.layout import Type
from tests.unit import cunit
from tests.unit.dsvolume import MIB, Disk, VirtualDisk

PAGE = 4096
SIZE = 24 * MIB
JOURNAL = 256
#: Seconds that one image may take; a loop without an end takes longer.
PATIENCE = 120
MARK, DONE = "\n@@@ ", "\n@@@ done"

#: Offset and width of the fields of each type that are not in the head.
FIELDS: dict[int, list[tuple[int, int]]] = {
    Type.SUPER: [(40, 4), (44, 4), *((128 + 8 * i, 8) for i in range(12))],
    Type.STATE: [(32 + 8 * i, 8) for i in range(6)],
    Type.REFS: [(32 + 2 * i, 2) for i in range(32)],
    Type.SUM1: [(32, 2), (34, 2)],
    Type.SUM2: [(32, 4), (36, 4)],
    Type.META: [(32, 8), (40, 4), (44, 4), *((48 + i, 1) for i in range(32))],
    Type.INODE: [
        *((32, 8), (40, 4), (44, 4), (48, 4), (52, 4), (56, 8), (64, 8), (72, 8), (80, 8)),
        *((88, 4), (92, 4), (96, 8), (104, 8), (112, 8), (120, 8), (128, 8)),
    ],
    Type.MAP: [(32 + 40 * i + at, 8) for i in (0, 1, 2, 50, 99) for at in (0, 8)],
    Type.INDEX: [(32 + 8 * i, 8) for i in (0, 1, 2, 3, 4, 5, 6, 100, 507)],
    Type.BUCKET: [(32, 8), (40, 4), (48, 8), (56, 8), (64, 1), (65, 1), (66, 1)],
    Type.JOURNAL: [(32, 4), *((40 + 8 * i, 8) for i in range(8))],
    Type.TAIL: [(32, 8), (40, 8), (48, 8)],
}
#: Those of an inode that steer where and how far the code goes are changed more often.
STEERING = {Type.INODE: [(40, 4), (44, 4), (56, 8), (80, 8), (88, 4), (92, 4), (104, 8), (120, 8)]}
#: Values at which the format's limits lie.
WANTED: dict[tuple[int, int], list[int]] = {
    (Type.INODE, 40): [0o040755, 0o100644, 0o120777, 0o020666, 0o060666, 0o140777, 0],
    (Type.INODE, 44): [0, 1, 2, 3],
    (Type.INODE, 56): [0, 3904, 3905, 5000, 1 << 46, (1 << 46) + 1, 1 << 63, (1 << 64) - 1],
    (Type.INODE, 88): [0, 1, 2, 3, 4, 5, 8, 255, (1 << 32) - 1],
    (Type.INODE, 92): [0, 1, 2, 3, 4],
    (Type.INODE, 112): [0, 1],
    (Type.INODE, 120): [0, 1, 2, 1 << 20, (1 << 20) + 1, 1 << 36, 1 << 62, 1 << 63, (1 << 64) - 1],
    (Type.BUCKET, 40): [0, 8, 17, 18, 4048, 4049, 5000, (1 << 32) - 1],
    (Type.META, 40): [0, 1, 255, 256, 257],
    (Type.META, 44): [0, 1, 2],
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A valid volume and where its metadata pages are."""

    disk: Disk
    pages: dict[int, int]  # number -> type
    special: list[int]  # inodes that Use is sure to look at
    tag: bytes


class Crafted:
    """One changed image. `log` tells what was done to it."""

    def __init__(self, base: Base, seed: int) -> None:
        self.base, self.rng, self.log = base, random.Random(seed), [f"seed {seed}"]
        self.unit = base.disk.unit
        self.disk = Disk(self.unit, self.unit.lib.sim_clone(base.disk.sim))

    def load(self, page: int) -> bytearray:
        return bytearray(self.disk.peek(page * PAGE, PAGE))

    def crc(self, data: bytes | bytearray) -> int:
        return int(self.unit.lib.crc32c(0, bytes(data), len(data)))

    def seal(self, data: bytearray, page: int) -> bytes:
        """The page with a head that is right for its place."""
        struct.pack_into("<IIQ", data, 0, 0x31534454, 0, page)
        data[28:32] = self.base.tag
        struct.pack_into("<I", data, 4, self.crc(data))
        return bytes(data)

    def store(self, data: bytearray, page: int) -> None:
        self.unit.lib.sim_poke(self.disk.sim, page * PAGE, self.seal(data, page), PAGE)

    def pointer(self) -> int:
        """A page number: mostly one that is there, of any type."""
        near = self.rng.choice(list(self.base.pages))
        last = SIZE // PAGE
        return self.rng.choice([near, near, near, near, near + 1, near ^ 1, near & ~255, last - 1,
                                last, 0, 1, 255])  # fmt: skip

    def value(self, old: int, width: int, page: int, wanted: list[int]) -> int:
        """A new value for a field of `page`, often one of `wanted`."""
        if wanted and self.rng.random() < 0.6:
            return self.rng.choice([*wanted, page]) % (1 << 8 * width)
        top = 1 << 8 * width
        pool: list[Callable[[], int]] = [
            self.pointer,
            lambda: page,
            lambda: old + self.rng.choice([-1, 1, 2, -2, 256]),
            lambda: old ^ 1 << self.rng.randrange(8 * width),
            lambda: self.rng.choice([0, 1, 2, 3, 4, 5, 63, 64, 255, 256, 3904, 3905, 4048, 4049]),
            lambda: 1 << self.rng.randrange(8 * width),
            lambda: (1 << self.rng.randrange(1, 8 * width + 1)) - 1,
            lambda: self.rng.choice([1 << 46, (1 << 46) + 1, 1 << 26, (1 << 20) + 1, top // 2]),
            lambda: self.rng.randrange(top),
        ]
        return self.rng.choice(pool)() % top

    def change_field(self, data: bytearray, kind: int, page: int, what: str) -> None:
        fields = FIELDS[kind]
        if kind in STEERING and self.rng.random() < 0.6:
            fields = STEERING[Type(kind)]
        at, width = self.rng.choice(fields)
        wanted = WANTED.get((kind, at), [])
        if kind == Type.BUCKET and at >= 48:
            at += self.entry(data)
        old = int.from_bytes(data[at : at + width], "little")
        new = self.value(old, width, page, wanted)
        data[at : at + width] = new.to_bytes(width, "little")
        self.log.append(f"{what} type {kind} at {at}: {old:#x} -> {new:#x}")

    def entry(self, data: bytearray) -> int:
        """The place of one of a bucket's names, from its first."""
        places, off, used = [0], 0, min(struct.unpack_from("<I", data, 40)[0], PAGE - 48)
        while off + 18 <= used:
            places.append(off)
            off += (18 + data[48 + off + 17] + 7) & ~7
        return min(self.rng.choice(places), PAGE - 48 - 18)

    def change_page(self) -> None:
        page = self.rng.choice(self.weighted())
        data, kind = self.load(page), self.base.pages[page]
        what = f"page {page}"
        if self.rng.random() < 0.06:  # another page's contents in this place
            other = self.rng.choice(list(self.base.pages))
            data = self.load(other)
            self.log.append(f"{what} is a copy of {other}")
        elif self.rng.random() < 0.03:
            struct.pack_into("<I", data, 24, self.rng.randrange(14))
            self.log.append(f"{what}: another type")
        elif kind == Type.INDEX and self.rng.random() < 0.15:  # one child for all
            child = self.rng.choice([self.pointer(), page])
            data[32:] = struct.pack("<Q", child) * 508
            self.log.append(f"{what}: all children are {child}")
        else:
            for _ in range(self.rng.choice([1, 1, 1, 2])):
                self.change_field(data, kind, page, what)
        self.store(data, page)

    def weighted(self) -> list[int]:
        """Pages to choose from: each type as often as another, about."""
        kind = self.rng.choice(
            [Type.INODE] * 6 + [Type.BUCKET] * 3 + [Type.INDEX] * 3
            + [Type.MAP, Type.META, Type.META, Type.STATE, Type.STATE, Type.REFS, Type.SUM1,
               Type.SUM2, Type.SUPER, Type.TAIL]
        )  # fmt: skip
        if kind == Type.INODE and self.rng.random() < 0.7:
            return self.base.special
        chosen = [page for page, its in self.base.pages.items() if its == kind]
        return chosen or list(self.base.pages)

    def change_record(self) -> bool:
        """A page image in the journal, or the list of a record; False: there is no record."""
        at = [page for page, kind in self.base.pages.items() if kind == Type.JOURNAL]
        if not at:
            return False
        page = self.rng.choice(at)
        head = self.load(page)
        count = struct.unpack_from("<I", head, 32)[0]
        images = [self.load(page + 1 + i) for i in range(count)]
        places = list(struct.unpack_from(f"<{count}Q", head, 40))
        i = self.rng.randrange(count)
        kind = struct.unpack_from("<I", images[i], 24)[0]
        if kind in FIELDS and self.rng.random() < 0.8:
            what = f"record {page} image {i} (page {places[i]})"
            self.change_field(images[i], kind, places[i], what)
        else:
            places[i] = self.value(places[i], 8, page, [])
            struct.pack_into("<Q", head, 40 + 8 * i, places[i])
            self.log.append(f"record {page}: image {i} goes to {places[i]}")
        for n, image in enumerate(images):
            sealed = self.seal(image, places[n])
            self.unit.lib.sim_poke(self.disk.sim, (page + 1 + n) * PAGE, sealed, PAGE)
        struct.pack_into("<I", head, 36, self.crc(b"".join(bytes(image) for image in images)))
        self.store(head, page)
        return True

    def put(self, page: int, *fields: tuple[int, str, int]) -> None:
        """Sets fields of a page: offset, struct's code, value."""
        data = self.load(page)
        for at, code, value in fields:
            struct.pack_into(f"<{code}", data, at, value)
        self.store(data, page)

    def craft(self) -> None:
        for _ in range(self.rng.choice([1, 1, 1, 2, 2, 3, 6])):
            if self.rng.random() > 0.25 or not self.change_record():
                self.change_page()


def base(unit: cunit.Unit, crashed: bool) -> Base:
    """A volume with everything on it: inline and mapped files, trees of three heights, buckets with
    overflow pages, links, an orphan; unmounted in order or not."""
    disk = Disk.fresh(unit, SIZE).mount()
    folder = disk.create("folder", 0o040755)
    for i in range(150):
        disk.create(f"{i:03}-{'n' * (i * 7 % 200)}", parent=folder)
    for i in range(40):
        disk.create(f"deep{i}", 0o040755, parent=folder if i % 2 else 0)
    disk.write(disk.create("inline"), 0, b"inline" * 100)
    disk.write(disk.create("small"), 10, b"x" * 9000)
    tall = disk.create("tall")
    for at in (0, 150 * MIB, 5100 * MIB, 2 << 40):
        disk.write(tall, at, b"tall")
    disk.write(disk.create("whole"), 0, bytes(MIB))
    target = b"inline"
    found = unit.ffi.new("uint64_t *")
    disk.ok(unit.lib.ds_create(disk.ds, disk.root(), b"link", 0o120777, target, found))
    if crashed:
        disk.unmount()
        disk.mount()
        tall, folder = disk.find("tall"), disk.find("folder")
    special = [disk.find(name) for name in ("folder", "tall", "small", "whole", "inline", "link")]
    special += [disk.root(), disk.root(), special[0]]
    gone = disk.create("gone")
    disk.write(gone, 3 * MIB, b"orphan")
    disk.unlink("gone")  # open: an orphan until its close
    if crashed:
        disk.write(tall, 7 * MIB, b"journal")
        disk.sync()
        disk.create("late", parent=folder)
        disk.sync()
        disk.abandon()
    else:
        disk.unmount()
    pages, tag = {}, disk.peek(28, 4)
    for page in range(SIZE // PAGE):
        magic, _, number, _, kind = struct.unpack("<IIQQI", disk.peek(page * PAGE, 28))
        journal = JOURNAL <= page < JOURNAL + 4 * 256
        if magic == 0x31534454 and number == page and (kind >= Type.JOURNAL or not journal):
            pages[page] = kind
    return Base(disk, pages, special, tag)


class Use:
    """Everything that a mounted volume is asked for, in an order that the seed gives. Errors are
    what a crafted volume is allowed to answer."""

    def __init__(self, image: Crafted) -> None:
        self.image, self.disk, self.rng = image, image.disk, image.rng
        self.found: list[tuple[int, bytes, int]] = []  # folder, name, inode

    def names(self, folder: int) -> list[tuple[bytes, int]]:
        out: list[tuple[bytes, int]] = []
        ffi, at = self.disk.ffi, self.disk.ffi.new("uint64_t *")

        @ffi.callback("bool(void *, const char *, uint64_t, unsigned, uint64_t)")  # type: ignore[untyped-decorator]
        def emit(_: Any, name: Any, inode: int, kind: int, following: int) -> bool:
            out.append((bytes(ffi.string(name)), inode))
            return len(out) < 400

        self.disk.ok(self.disk.lib.ds_dir_walk(self.disk.ds, folder, at, emit, ffi.NULL))
        return out

    def walk(self) -> None:
        self.found.clear()
        pending, seen = [self.disk.root()], set[int]()
        while pending and len(seen) < 20:
            folder = pending.pop(0)
            seen.add(folder)
            with contextlib.suppress(OSError):
                for name, inode in self.names(folder):
                    self.found.append((folder, name, inode))
                    if inode not in seen and (
                        name.startswith(b"folder") or self.rng.random() < 0.1
                    ):
                        pending.append(inode)

    def is_file(self, inode: int) -> bool:
        """What the file system above asks before it opens an inode."""
        page = self.disk.ffi.new("struct ds_page **")
        if self.disk.lib.ds_page_get(self.disk.ds, inode, Type.INODE, page):
            return False
        mode = self.disk.ffi.cast("struct ds_inode *", page[0].data).mode
        self.disk.lib.ds_page_put(self.disk.ds, page[0])
        return stat.S_ISREG(mode)

    def contents(self, inode: int) -> None:
        """Reads and changes a file wherever it may be special."""
        disk, rng = self.disk, self.rng
        size = int(disk.open(inode).size)
        places = [
            0,
            4000,
            MIB - 3,
            150 * MIB,
            max(size - 1, 0),
            size,
            2 << 40,
            (1 << 46) - 5,
            1 << 46,
        ]
        steps: list[Callable[[], object]] = [
            *(lambda at=at: disk.read(inode, at, 5000) for at in places),
            lambda: disk.seek(inode, rng.choice(places[:6]), hole=False),
            lambda: disk.seek(inode, 0, hole=True),
            lambda: disk.write(inode, rng.choice(places), b"w" * rng.choice([1, 4096, 70000])),
            lambda: disk.truncate(inode, rng.choice([0, 5, 3904, 3905, places[4], size ^ MIB])),
            lambda: disk.truncate(inode, 5),
            lambda: disk.allocate(inode, rng.choice([0, 160 * MIB]), 3 * MIB),
            lambda: disk.ok(disk.lib.ds_punch(disk.open(inode), rng.choice([0, 4096]), 200 * MIB)),
            lambda: disk.ok(disk.lib.ds_zero(disk.open(inode), 0, 2 * MIB)),
            lambda: disk.ok(disk.lib.ds_unmap(disk.open(inode), 0, 200 * MIB)),
        ]  # fmt: skip
        for step in rng.sample(steps, 12):
            with contextlib.suppress(OSError):
                step()

    def virtual(self, inode: int) -> None:
        v = VirtualDisk(self.disk, inode)
        try:
            for step in (
                lambda: v.read(0, 8192),
                lambda: v.write(512, b"v" * 4096),
                lambda: v.zero(0, 4096),
                lambda: v.discard(0, MIB),
                lambda: v.flush(),
            ):
                with contextlib.suppress(OSError):
                    step()
        finally:
            v.close()

    def change(self) -> None:
        """Names: created until buckets split, renamed, linked, removed."""
        disk, rng = self.disk, self.rng
        folders = list({folder for folder, _, _ in self.found}) or [disk.root()]
        some = rng.sample(self.found, min(6, len(self.found)))
        with contextlib.suppress(OSError):
            for i in range(rng.choice([1, 30])):
                kind = 0o040755 if i % 7 == 6 else 0o100644
                disk.create(f"new{i}{'y' * rng.choice([1, 200])}", kind, parent=rng.choice(folders))
        for folder, name, number in some:
            for call in rng.sample(self.calls(folder, name, number, rng.choice(folders)), 2):
                call()

    def calls(self, folder: int, name: bytes, number: int, to: int) -> list[Callable[[], int]]:
        """What may be done to a name; `to`: another folder."""
        ds, rng, lib = self.disk.ds, self.rng, self.disk.lib
        inode = self.disk.ffi.new("uint64_t *")
        other = rng.choice([b"moved", name[:9] or b"x"])
        return [
            lambda: int(lib.ds_dir_find(ds, folder, name, inode)),
            lambda: int(lib.ds_unlink(ds, folder, name, rng.random() < 0.5)),
            lambda: int(lib.ds_link(ds, to, b"hard%d" % rng.randrange(3), number)),
            lambda: int(lib.ds_rename(ds, folder, name, to, other)),
        ]

    def all(self) -> None:
        disk, rng = self.disk, self.rng
        disk.mount()
        self.walk()
        numbers = [i for i in sorted({inode for _, _, inode in self.found}) if self.is_file(i)]
        special = [i for _, _, i in self.found if i in self.image.base.special and self.is_file(i)]
        for inode in special + rng.sample(numbers, min(4, len(numbers))):
            with contextlib.suppress(OSError):
                self.contents(inode)
        self.change()
        disk.close_all()
        for inode in special[:2] + rng.sample(numbers, min(1, len(numbers))):
            with contextlib.suppress(OSError):
                self.virtual(inode)
        with contextlib.suppress(OSError):
            disk.sync()
        with contextlib.suppress(OSError):
            disk.unmount()

    def run(self) -> None:
        for _ in range(2):  # and what it has become once more
            with contextlib.suppress(OSError):
                self.all()
        self.disk.destroy()


def failures(
    bases: list[Base], seeds: range, craft: Callable[[Crafted], None] = Crafted.craft
) -> Iterator[str]:
    """Uses the images of `seeds` in a child process; what went wrong with which."""
    left = list(seeds)
    while left:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            # A sanitizer's or a panic's last words go to the parent; nothing else may end up there.
            os.dup2(writing, 2)
            bases[0].disk.lib.seam_panic_to_fd(writing)
            for seed in left:
                signal.alarm(PATIENCE)
                image = Crafted(bases[seed % len(bases)], seed)
                craft(image)
                os.write(writing, f"{MARK}{'; '.join(image.log)}\n".encode())
                try:
                    Use(image).run()
                except BaseException:  # the test's own mistake: told as one
                    os.write(writing, traceback.format_exc().encode())
                    os._exit(3)
            os.write(writing, DONE.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as stream:
            said = stream.read().decode(errors="replace")
        _, status = os.waitpid(child, 0)
        if status == 0 and said.endswith(DONE):
            return
        if MARK not in said:
            raise AssertionError(said)
        last = said.rpartition(MARK)[2]
        done = int(last.split(";")[0].split()[1])
        why = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"status {status >> 8}"
        yield f"{why}: {last[:3000]}"
        left = left[left.index(done) + 1 :]
