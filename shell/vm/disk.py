# SPDX-License-Identifier: Apache-2.0
"""Virtual disks as files: NAME.vmdk (vmdk.py) and NAME-flat.vmdk, made, grown, renamed, copied.

The order of steps is such that a descriptor never names contents that are not there. A disk that a
VM uses cannot be opened, so nothing here touches it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from tepui.shell.vm import vmdk
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import MIB

SIZE_MIN, SIZE_MAX = MIB, 64 << 40
#: Told of bytes done and in all.
Progress = Callable[[int, int], None]


class Format(StrEnum):
    """How a disk's space is given: as it is written; all at once; all at once and zeroed."""

    THIN = "thin"
    ZEROED_THICK = "zeroedthick"
    EAGER_ZEROED_THICK = "eagerzeroedthick"


def no_progress(done: int, total: int) -> None:
    """For callers who do not show any."""


def read(path: Path) -> vmdk.Descriptor:
    """The descriptor; VmError with the file's name."""
    try:
        return vmdk.parse(path.read_text("utf-8"))
    except UnicodeDecodeError:
        raise VmError(f"{path}: not a VMDK descriptor") from None
    except VmError as e:
        raise VmError(f"{path}: {e}") from None


def flat(path: Path) -> Path:
    """Where the contents of the disk `path` are."""
    return path.with_name(read(path).extent)


def flat_name(path: Path) -> str:
    if path.suffix != ".vmdk" or path.stem.endswith("-flat"):
        raise VmError(f"{path}: a virtual disk's name ends in .vmdk, not in -flat.vmdk")
    return f"{path.stem}-flat.vmdk"


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A descriptor of contents; VmError when a VM uses them."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as e:
        if e.errno == errno.EBUSY:
            raise VmError(f"{path}: in use by a virtual machine") from None
        raise
    try:
        yield fd
    finally:
        os.close(fd)


def sync_folder(path: Path) -> None:
    with opened(path.parent, os.O_RDONLY | os.O_DIRECTORY) as fd:
        os.fsync(fd)


def write_descriptor(path: Path, descriptor: vmdk.Descriptor) -> None:
    """Replaces the file as a whole."""
    fresh = path.with_name(path.name + "~")
    with opened(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as fd:
        os.write(fd, vmdk.build(descriptor).encode())
        os.fsync(fd)
    fresh.rename(path)
    sync_folder(path)


def check_size(size: int) -> int:
    """In whole MiB, as VMware rounds; VmError when out of bounds."""
    if not SIZE_MIN <= size <= SIZE_MAX:
        raise VmError("a disk has 1 MiB to 64 TiB")
    return -(-size // MIB) * MIB


def fill(fd: int, start: int, size: int, form: Format, progress: Progress) -> None:
    """Makes the file `size` bytes long; what is behind `start` as the format wants it."""
    if form is Format.THIN:
        os.ftruncate(fd, size)
    elif form is Format.ZEROED_THICK:
        os.posix_fallocate(fd, 0, size)
        if os.fstat(fd).st_blocks * vmdk.SECTOR < size:
            raise VmError("this file system cannot reserve space: use thin or eagerzeroedthick")
    else:
        zeros = bytes(MIB)
        for at in range(start, size, MIB):
            write_all(fd, zeros[: size - at], at)
            progress(min(at + MIB, size) - start, size - start)


def write_all(fd: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, offset)
        view, offset = view[done:], offset + done


def create(
    path: Path, size: int, form: Format = Format.THIN, progress: Progress = no_progress
) -> None:
    """VmError, FileExistsError, OSError; then nothing stays."""
    with making(path, check_size(size), form) as fd:
        fill(fd, 0, check_size(size), form, progress)


@contextmanager
def making(path: Path, size: int, form: Format) -> Iterator[int]:
    """New contents to fill, then their descriptor; a failure leaves neither."""
    contents = path.with_name(flat_name(path))
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with opened(contents, os.O_RDWR | os.O_CREAT | os.O_EXCL) as fd:
        try:
            yield fd
            os.fsync(fd)
            thin = form is Format.THIN
            write_descriptor(path, vmdk.Descriptor(size // vmdk.SECTOR, contents.name, thin))
        except BaseException:
            contents.unlink()
            raise


def extend(
    path: Path, size: int, form: Format | None = None, progress: Progress = no_progress
) -> None:
    """To `size` bytes in all; without a format the disk keeps its own."""
    old = read(path)
    size, start = check_size(size), old.sectors * vmdk.SECTOR
    if size <= start:
        raise VmError(f"{path}: has {start >> 20} MiB already; disks do not shrink")
    if form is None:
        form = Format.THIN if old.thin else Format.ZEROED_THICK
    with opened(flat(path), os.O_RDWR) as fd:
        fill(fd, start, size, form, progress)
        os.fsync(fd)
        write_descriptor(path, replace(old, sectors=size // vmdk.SECTOR))


def rename(old: Path, new: Path) -> None:
    """Contents get their second name first, so every descriptor finds them at any time."""
    descriptor = read(old)
    contents, target = flat(old), new.with_name(flat_name(new))
    if new.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    with opened(contents, os.O_RDWR):
        os.link(contents, target)
        try:
            write_descriptor(new, replace(descriptor, extent=target.name))
        except BaseException:
            target.unlink()
            raise
        old.unlink()
        contents.unlink()
    sync_folder(old)


def delete(path: Path) -> None:
    """Descriptor and contents; VmError while a VM uses them."""
    contents = flat(path)
    if contents.exists():
        with opened(contents, os.O_RDWR):
            path.unlink()
        contents.unlink()
    else:
        path.unlink()
    sync_folder(path)


def copy(source: int, target: int, size: int, thin: bool, progress: Progress) -> None:
    """The first `size` bytes, what is missing as zeros; thin: zeros are left out."""
    at, zeros = 0, bytes(MIB)
    while at < size:
        at = data_at(source, at, size) if thin else at
        data = os.pread(source, min(MIB, size - at), at)
        data += bytes(min(MIB, size - at) - len(data))
        if not thin or data != zeros[: len(data)]:
            write_all(target, data, at)
        at += len(data)
        progress(min(at, size), size)
    os.ftruncate(target, size)


def data_at(fd: int, at: int, size: int) -> int:
    """The next offset with data, rounded down to MiB; `at` where nobody knows, size at the end."""
    try:
        return max(at, os.lseek(fd, at, os.SEEK_DATA) // MIB * MIB)
    except OSError as e:
        return size if e.errno == errno.ENXIO else at


def clone(
    source: Path, target: Path, form: Format | None = None, progress: Progress = no_progress
) -> None:
    """A full copy of a disk in a format of its own, else in the source's."""
    old = read(source)
    form = form or (Format.THIN if old.thin else Format.EAGER_ZEROED_THICK)
    size = old.sectors * vmdk.SECTOR
    with opened(flat(source), os.O_RDONLY) as fd, making(target, size, form) as out:
        fill_copy(fd, out, size, form, progress)


def fill_copy(fd: int, out: int, size: int, form: Format, progress: Progress) -> None:
    if form is Format.ZEROED_THICK:
        fill(out, 0, size, form, no_progress)
    copy(fd, out, size, form is not Format.EAGER_ZEROED_THICK, progress)


def import_raw(
    raw: Path, target: Path, form: Format = Format.THIN, progress: Progress = no_progress
) -> None:
    """A disk with the contents of a raw image (or a block device), rounded up to MiB."""
    with opened(raw, os.O_RDONLY) as fd:
        size = check_size(os.lseek(fd, 0, os.SEEK_END))
        with making(target, size, form) as out:
            fill_copy(fd, out, size, form, progress)


def export_raw(source: Path, raw: Path, progress: Progress = no_progress) -> None:
    """The contents as a raw image, holes where there are zeros."""
    size = read(source).sectors * vmdk.SECTOR
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with opened(flat(source), os.O_RDONLY) as fd, opened(raw, flags) as out:
        try:
            copy(fd, out, size, True, progress)
            os.fsync(out)
        except BaseException:
            raw.unlink()
            raise


def check(path: Path) -> list[str]:
    """What is wrong with a disk's files; empty: nothing."""
    try:
        contents, expected = flat(path), read(path).sectors * vmdk.SECTOR
        size = contents.stat().st_size
    except (VmError, OSError) as e:
        return [str(e)]
    return [] if size == expected else [f"{contents}: {size} bytes, the descriptor says {expected}"]
