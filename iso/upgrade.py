# SPDX-License-Identifier: Apache-2.0
"""An upgrade: the image of an ISO goes to the boot bank that is not in use, and GRUB tries it once.

Nothing that runs or that boots today is touched: the environment names the new bank last.
Sources: ECMA-119 (ISO 9660), clauses 8.4, 9.1; IEEE P1282 (Rock Ridge), NM entries.
"""

import re
import struct
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tepui.iso import bank, digests, fat, install, layout, loader
from tepui.iso.disk import Disk
from tepui.iso.targets import DISKS
from tepui.shell.storageclient import Block

SECTOR, VOLUME, ROOT = 2048, 16 * 2048, 156
FOLDER_MAX = 1 << 20
#: What the ISO must have, and how each begins.
PARTS = {digests.KERNEL: b"\x7fELF", digests.USERWORLD: b"", digests.NAME: b""}
TRIED = re.compile(r"(?:^|\s)trybank=[AB](?:\s|$)")


class UpgradeError(Exception):
    """Why nothing was changed; for people."""


def rock_ridge(row: bytes) -> str:
    """The name of a directory record, "" where it has none."""
    at, name = 33 + row[32] + (row[32] + 1) % 2, b""
    while at + 4 <= len(row) and row[at + 2] >= 4:
        if row[at : at + 2] == b"NM":
            name += row[at + 5 : at + row[at + 2]]
        at += row[at + 2]
    return name.decode("utf-8", "replace")


def records(data: bytes) -> Iterator[bytes]:
    """The directory records of a folder; none crosses a sector."""
    at = 0
    while at < len(data):
        length = data[at]
        if 34 <= length <= len(data) - at and data[at + 32] <= length - 33:
            yield data[at : at + length]
        at = at + length if length else (at // SECTOR + 1) * SECTOR


def extent(row: bytes) -> tuple[int, int]:
    """Offset and size of what a record names."""
    first, size = struct.unpack_from("<I4xI", row, 2)
    return first * SECTOR, size


def find(iso: Disk) -> dict[str, tuple[int, int]]:
    """Offset and size of each of PARTS. Raises UpgradeError."""
    try:
        head = iso.read(VOLUME, SECTOR)
        if head[:6] != b"\x01CD001":
            raise UpgradeError(f"{iso.path} is no ISO")
        at, size = extent(head[ROOT:])
        for name in ("boot", ""):
            data = iso.read(at, min(size, FOLDER_MAX))
            rows = {rock_ridge(row): extent(row) for row in records(data)}
            at, size = rows.get(name, (0, 0))
        found = {name: rows[name] for name in PARTS if name in rows}
        for name, (at, size) in found.items():
            if not iso.read(at, 4).startswith(PARTS[name]):
                raise UpgradeError(f"{iso.path}: {name} is damaged")
            iso.read(at + size - 1, 1)
    except OSError as e:
        raise UpgradeError(f"{iso.path}: {e}") from e
    if len(found) < len(PARTS):
        raise UpgradeError(f"{iso.path} is no ISO of Tepui")
    return found


def extract(iso: Disk, at: int, size: int, out: Path) -> None:
    with out.open("wb") as f:
        for done in range(0, size, layout.MIB):
            f.write(iso.read(at + done, min(layout.MIB, size - done)))


def here(devices: Sequence[Block], options: str) -> tuple[str, Block, Block]:
    """The bank that this host runs from, the ESP, and the other bank's partition. Raises
    UpgradeError."""
    booted = bank.booted(devices, options)
    if booted is None:
        raise UpgradeError("this host was not booted from a boot bank")
    letter, esp = booted
    number = next(p for n, p in layout.BANKS.items() if n != letter)
    other = next((b for b in devices if b.disk == esp.disk and b.partition == number), None)
    if other is None:
        raise UpgradeError("the disk has no second boot bank")
    return letter, esp, other


def update(devices: Sequence[Block], options: str, iso: Path) -> str:
    """Writes the other bank and has it tried at the next boot; returns its letter. Raises
    UpgradeError, DigestError before anything is written, OSError, FatError, LoaderError."""
    letter, esp_block, other = here(devices, options)
    new = next(n for n in layout.BANKS if n != letter)
    with (
        Disk(iso) as source,
        Disk(DISKS / esp_block.id, writable=True) as esp,
        Disk(DISKS / other.id, writable=True) as target,
        tempfile.TemporaryDirectory() as folder,
    ):
        if TRIED.search(options) and loader.read_environment(esp).get("bank") != letter:
            raise UpgradeError(f"bank {letter} is on trial: it is confirmed a minute after boot")
        parts, scratch = find(source), Path(folder)
        for name, (at, size) in parts.items():
            extract(source, at, size, scratch / name)
        image = scratch / "bank"
        # Everything is in memory now: nothing is written unless it is whole.
        files = {name: scratch / name for name in (digests.KERNEL, digests.USERWORLD)}
        digests.verify(scratch / digests.NAME, files)
        sums = (scratch / digests.NAME).read_bytes()
        install.bank_image(image, target.size, new, files, sums)
        loader.write_environment(esp, {"bank": letter, "try": ""})
        fat.copy(image, target.write, lambda done: None)
        target.flush()
        loader.write_environment(esp, {"bank": letter, "try": new})
    return new
