# SPDX-License-Identifier: Apache-2.0
"""A raw disk image as the datastore's reader sees it."""

from pathlib import Path


class ImageFile:
    """A raw disk image as the checker reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read_at(self, offset: int, length: int) -> bytes:
        with self.path.open("rb") as f:
            f.seek(offset)
            data = f.read(length)
        if len(data) != length:
            raise OSError(f"{self.path}: {length} bytes at {offset}: the image ends")
        return data
