# SPDX-License-Identifier: Apache-2.0
"""A cpio "newc" archive of a directory tree, laid out for the vmkernel.

The contents of every file of a page or more begin on a page boundary, so the vmkernel maps them
from the boot module without a copy. Zero bytes between entries make the distance, as Linux's
initramfs readers allow. Entries are sorted, owned by root and dated by the caller: equal trees
give equal bytes. Source: cpio(5), "New ASCII Format".
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PAGE = 4096
MAGIC = b"070701"
TRAILER = "TRAILER!!!"


def _entries(root: Path) -> Iterator[tuple[str, Path]]:
    """Names relative to root, directories before what they hold."""
    for folder, folders, files in os.walk(root):
        folders.sort()
        here = Path(folder)
        names = sorted(files + [f for f in folders if (here / f).is_symlink()])
        if here != root:
            yield str(here.relative_to(root)), here
        for name in names:
            yield str((here / name).relative_to(root)), here / name


def _header(ino: int, mode: int, size: int, mtime: int, name: bytes) -> bytes:
    values = (ino, mode, 0, 0, 1, mtime, size, 0, 0, 0, 0, len(name) + 1, 0)
    head = MAGIC + b"".join(b"%08x" % v for v in values) + name + b"\0"
    return head + b"\0" * (-len(head) % 4)


def _contents(path: Path, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return os.fsencode(path.readlink())
    return path.read_bytes() if stat.S_ISREG(mode) else b""


def write(root: Path, out: BinaryIO, mtime: int) -> int:
    """Writes the archive; returns its size in bytes. Devices and sockets raise ValueError."""
    at = 0
    for ino, (name, path) in enumerate(_entries(root), 1):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise ValueError(f"{name}: neither file, directory nor link")
        data = _contents(path, mode)
        head = _header(ino, mode, len(data), mtime, os.fsencode(name))
        gap = -(at + len(head)) % PAGE if stat.S_ISREG(mode) and len(data) >= PAGE else 0
        at += out.write(b"\0" * gap + head + data + b"\0" * (-len(data) % 4))
    return at + out.write(_header(0, 0, 0, 0, TRAILER.encode()))
