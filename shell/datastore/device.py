# SPDX-License-Identifier: Apache-2.0
"""Where a datastore lies: an image file or a block device, the whole of it or one partition."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The bytes of a file from `start` on (volume.Device)."""

    path: Path
    start: int = 0

    def read_at(self, offset: int, length: int) -> bytes:
        with self.path.open("rb", buffering=0) as f:
            f.seek(self.start + offset)
            data = f.read(length)
        if len(data) != length:
            raise OSError(f"{self.path}: {length} bytes at {self.start + offset}: the image ends")
        return data
