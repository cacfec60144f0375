# SPDX-License-Identifier: Apache-2.0
"""FAT file systems, made as image files by mkfs.fat and mtools and then copied to their place."""

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

CHUNK = 1 << 20


class FatError(Exception):
    """A tool failed; the message is its own."""


def _run(*command: str | Path) -> None:
    # 367 is ASCII, the one code page that glibc converts without a table of its own.
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEFAULT_CODEPAGE": "367"}
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise FatError(f"{command[0]}: {(done.stderr or done.stdout).strip()}")


def make(
    image: Path, size: int, label: str, cluster: int, files: Mapping[str, Path | bytes]
) -> None:
    """A FAT32 image file of `size` bytes, `cluster` sectors a cluster, holding `files` by path.
    The file is sparse; what lies behind its last byte that is not 0 need not be copied."""
    image.unlink(missing_ok=True)
    with image.open("wb") as f:
        f.truncate(size)
    _run("mkfs.fat", "-F", "32", "-s", str(cluster), "-n", label, image)
    made: set[str] = set()
    for name, content in files.items():
        parents = name.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            folder = "/".join(parents[:depth])
            if folder not in made:
                _run("mmd", "-i", image, f"::/{folder}")
                made.add(folder)
        source = content if isinstance(content, Path) else image.with_suffix(".part")
        if isinstance(content, bytes):
            source.write_bytes(content)
        _run("mcopy", "-i", image, source, f"::/{name}")
        if isinstance(content, bytes):
            source.unlink()


def used(image: Path) -> int:
    """Bytes up to the last chunk that is not all zero."""
    zero = bytes(CHUNK)
    end = image.stat().st_size
    with image.open("rb") as f:
        while end:
            start = max(0, end - CHUNK)
            if os.pread(f.fileno(), end - start, start) != zero[: end - start]:
                return end
            end = start
    return end


def copy(image: Path, write: Callable[[int, bytes], None], progress: Callable[[int], None]) -> None:
    """Copies an image by write(offset, data), its first chunk last, so that nothing is a file
    system before all of it is there. progress(bytes) after each chunk."""
    with image.open("rb") as f:
        for at in [*range(CHUNK, used(image), CHUNK), 0]:
            data = os.pread(f.fileno(), CHUNK, at)
            write(at, data)
            progress(len(data))
