# SPDX-License-Identifier: Apache-2.0
"""A whole disk to install on: a block node of the vmkernel's or Linux's, or a raw image file."""

import fcntl
import os
import stat
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from tepui.shell import gpt

BLKRRPART, BLKSSZGET, BLKGETSIZE64 = 0x125F, 0x1268, 0x80081272


class Disk:
    """Opened for reading, or alone for writing; offsets and sizes are bytes."""

    def __init__(self, path: Path, writable: bool = False) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
        self.is_block = stat.S_ISBLK(os.fstat(self.descriptor).st_mode)
        self.block_size = self._ioctl(BLKSSZGET, "I") if self.is_block else 512
        size = self._ioctl(BLKGETSIZE64, "Q") if self.is_block else path.stat().st_size
        self.blocks = size // self.block_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self.descriptor)

    def _ioctl(self, request: int, form: str) -> int:
        buffer = fcntl.ioctl(self.descriptor, request, bytes(struct.calcsize(form)))
        value: int = struct.unpack(form, buffer)[0]
        return value

    @property
    def size(self) -> int:
        return self.blocks * self.block_size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly length bytes; OSError where the disk ends."""
        data = b""
        while len(data) < length:
            piece = os.pread(self.descriptor, length - len(data), offset + len(data))
            if not piece:
                raise OSError(f"{self.path}: the disk ends at byte {offset + len(data)}")
            data += piece
        return data

    def write(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self.descriptor, view, offset)
            view, offset = view[done:], offset + done

    def flush(self) -> None:
        os.fsync(self.descriptor)

    def rescan(self) -> None:
        """Has the system read the partition table again."""
        if self.is_block:
            fcntl.ioctl(self.descriptor, BLKRRPART)

    def table(self) -> gpt.Table:
        """Raises gpt.GptError."""
        return gpt.parse(self.read, self.block_size, self.blocks)
