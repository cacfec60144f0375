# SPDX-License-Identifier: Apache-2.0
"""Where a datastore lies: an image file or a block device, the whole of it or one partition."""

import os
from pathlib import Path
from types import TracebackType
from typing import Self


class ImageFile:
    """The bytes of a file or block device from `start` on (volume.Device)."""

    def __init__(self, path: Path, start: int = 0) -> None:
        self.path, self.start = path, start
        self._descriptor = os.open(path, os.O_RDONLY)

    def read_at(self, offset: int, length: int) -> bytes:
        data = os.pread(self._descriptor, length, self.start + offset)
        while 0 < len(data) < length:
            more = os.pread(self._descriptor, length - len(data), self.start + offset + len(data))
            if not more:
                break
            data += more
        if len(data) != length:
            raise OSError(f"{self.path}: {length} bytes at {self.start + offset}: the image ends")
        return data

    def size(self) -> int:
        """Bytes from `start` on."""
        return os.lseek(self._descriptor, 0, os.SEEK_END) - self.start

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
