# SPDX-License-Identifier: Apache-2.0
"""A datastore's C code on a simulated disk, for tests; and the Python checker over that disk."""

import contextlib
from pathlib import Path
from typing import Any

from tepui.shell.datastore.check import Report, check
from tepui.shell.datastore.volume import Volume as Reader
from tests.unit import cunit

MIB = 1 << 20
FOLDER = Path("vmkernel/storage/ds")
SOURCES = [f"vmkernel/lib/{n}.c" for n in ("tree", "crc32c", "string", "printf")]
SOURCES += ["tests/unit/simdisk.c", "tests/unit/simvdisk.c", "vmkernel/storage/vdisk.c"]


def build(
    name: str = "datastore", folder: Path = cunit.ROOT / FOLDER, options: tuple[str, ...] = ()
) -> cunit.Unit:
    """The datastore as it is, or as a copy of its folder has it."""
    sources = [str(path) for path in sorted(folder.glob("*.c"))]
    headers = ["vmkernel/storage/ds/ds.h", "tests/unit/simdisk.h", "tests/unit/simvdisk.h"]
    headers += ["vmkernel/include/vmk/crc.h"]
    return cunit.build(name, [*sources, *SOURCES], headers=headers, options=options)


class VirtualDisk:
    """A file of `disk`'s datastore as a virtual disk; errors are OSErrors."""

    def __init__(self, disk: "Disk", inode: int, *, thin: bool = True, piece: int = 4096) -> None:
        self.unit, self.lib, self.piece = disk.unit, disk.lib, piece
        error = disk.ffi.new("int *")
        flags = disk.lib.VDISK_THIN if thin else 0
        self.handle = disk.lib.disk_open(disk.ds, inode, flags, error)
        disk.ok(error[0])

    def io(self, op: int, off: int, buf: Any, length: int) -> None:
        Disk.ok(self.lib.disk_io(self.handle, op, off, buf, length, self.piece))

    def read(self, off: int, n: int) -> bytes:
        buf = self.unit.ffi.new("uint8_t[]", n)
        self.io(self.lib.BLK_READ, off, buf, n)
        return bytes(self.unit.ffi.buffer(buf))

    def write(self, off: int, data: bytes) -> None:
        buf = self.unit.ffi.new("uint8_t[]", data)
        self.io(self.lib.BLK_WRITE, off, buf, len(data))

    def zero(self, off: int, n: int) -> None:
        self.io(self.lib.BLK_WRITE_ZEROES, off, self.unit.ffi.NULL, n)

    def discard(self, off: int, n: int) -> None:
        self.io(self.lib.BLK_DISCARD, off, self.unit.ffi.NULL, n)

    def flush(self) -> None:
        self.io(self.lib.BLK_FLUSH, 0, self.unit.ffi.NULL, 0)

    def close(self) -> None:
        self.lib.vdisk_close(self.handle)


class SimDevice:
    """The simulated disk as the checker reads it."""

    def __init__(self, unit: cunit.Unit, sim: Any) -> None:
        self.unit, self.sim = unit, sim

    def read_at(self, offset: int, length: int) -> bytes:
        if length == 0:
            return b""
        buf = self.unit.ffi.new("uint8_t[]", length)
        self.unit.lib.sim_peek(self.sim, offset, buf, length)
        return bytes(self.unit.ffi.buffer(buf))


class Disk:
    """A simulated disk with a datastore on it, mounted or not."""

    def __init__(self, unit: cunit.Unit, sim: Any) -> None:
        self.unit, self.ffi, self.lib, self.sim = unit, unit.ffi, unit.lib, sim
        self.ds: Any = None
        self.open_files: dict[int, Any] = {}
        self.touched: set[str] = set()  # names that a test has used

    @classmethod
    def fresh(cls, unit: cunit.Unit, size: int = 64 * MIB) -> "Disk":
        disk = cls(unit, unit.lib.sim_create(size))
        disk.ok(unit.lib.ds_format(disk.dev, b"test", bytes(range(16))))
        return disk

    @property
    def dev(self) -> Any:
        return self.ffi.addressof(self.sim, "dev")

    @staticmethod
    def ok(r: int) -> int:
        if r < 0:
            raise OSError(-r, f"error {-r}")
        return int(r)

    def mount(self) -> "Disk":
        out = self.ffi.new("struct ds **")
        self.ok(self.lib.ds_mount(self.dev, out))
        self.ds = out[0]
        return self

    def unmount(self) -> None:
        self.close_all()
        self.ok(self.lib.ds_unmount(self.ds))
        self.ds = None

    def abandon(self) -> None:
        """A crash: what is in memory is gone (and leaks, as power does not free)."""
        self.ds = None
        self.open_files.clear()

    def destroy(self) -> None:
        self.lib.sim_destroy(self.sim)

    def report(self) -> Report:
        return check(SimDevice(self.unit, self.sim))

    def reader(self) -> Reader:
        return Reader(SimDevice(self.unit, self.sim))

    def root(self) -> int:
        page = self.ffi.new("struct ds_page **")
        self.ok(self.lib.ds_page_get(self.ds, 9, self.lib.DS_STATE, page))
        self.lib.ds_page_put(self.ds, page[0])
        return int(self.ffi.cast("struct ds_state *", page[0].data).root)

    def find(self, name: str, folder: int = 0) -> int:
        found = self.ffi.new("uint64_t *")
        self.ok(self.lib.ds_dir_find(self.ds, folder or self.root(), name.encode(), found))
        return int(found[0])

    def create(self, name: str, mode: int = 0o100644, parent: int = 0) -> int:
        found = self.ffi.new("uint64_t *")
        folder = parent or self.root()
        self.ok(self.lib.ds_create(self.ds, folder, name.encode(), mode, self.ffi.NULL, found))
        return int(found[0])

    def unlink(self, name: str, directory: bool = False) -> None:
        self.ok(self.lib.ds_unlink(self.ds, self.root(), name.encode(), directory))

    def peek(self, offset: int, length: int) -> bytes:
        """What the disk holds."""
        return SimDevice(self.unit, self.sim).read_at(offset, length)

    def rename(self, old: str, new: str) -> None:
        """Over an existing name or not."""
        root = self.root()
        self.ok(self.lib.ds_rename(self.ds, root, old.encode(), root, new.encode()))

    def open(self, inode: int) -> Any:
        if inode not in self.open_files:
            out = self.ffi.new("struct ds_file **")
            self.ok(self.lib.ds_file_open(self.ds, inode, out))
            self.open_files[inode] = out[0]
        return self.open_files[inode]

    def close_all(self) -> None:
        for f in self.open_files.values():
            self.lib.ds_file_close(f)
        self.open_files.clear()

    def close(self, inode: int) -> None:
        self.lib.ds_file_close(self.open_files.pop(inode))

    def write(self, inode: int, off: int, data: bytes) -> int:
        return self.ok(self.lib.ds_write(self.open(inode), off, data, len(data)))

    def read(self, inode: int, off: int, n: int) -> bytes:
        buf = self.ffi.new("uint8_t[]", max(n, 1))
        got = self.ok(self.lib.ds_read(self.open(inode), off, buf, n))
        return bytes(self.ffi.buffer(buf, got))

    def truncate(self, inode: int, size: int) -> None:
        self.ok(self.lib.ds_truncate(self.open(inode), size))

    def sync(self) -> None:
        self.ok(self.lib.ds_sync(self.ds))

    def seek(self, inode: int, at: int, hole: bool) -> int:
        found = self.ffi.new("uint64_t *")
        self.ok(self.lib.ds_seek(self.open(inode), at, hole, found))
        return int(found[0])

    def extents(self, inode: int) -> list[tuple[int, int]]:
        """[start, end) of all data."""
        found, at = [], 0
        with contextlib.suppress(OSError):
            while True:
                start = self.seek(inode, at, hole=False)
                at = self.seek(inode, start, hole=True)
                found.append((start, at))
        return found

    def allocate(self, inode: int, off: int, n: int, keep: bool = False) -> None:
        self.ok(self.lib.ds_allocate(self.open(inode), off, n, keep))

    def punch(self, inode: int, off: int, n: int) -> None:
        self.ok(self.lib.ds_punch(self.open(inode), off, n))

    def names(self) -> list[str]:
        got: list[str] = []

        def emit(arg: Any, name: Any, ino: int, kind: int, following: int) -> bool:
            got.append(self.ffi.string(name).decode())
            return True

        signature = "bool(void *, const char *, uint64_t, unsigned, uint64_t)"
        pos = self.ffi.new("uint64_t *", 0)
        callback = self.ffi.callback(signature, emit)
        self.ok(self.lib.ds_dir_walk(self.ds, self.root(), pos, callback, self.ffi.NULL))
        return got
