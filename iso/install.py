# SPDX-License-Identifier: Apache-2.0
"""Puts Tepui on a disk.

The order makes a death at any moment harmless: until the last two writes neither BIOS nor UEFI
finds anything to boot on the disk, and the firmware goes on to the next device, the installer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tepui.iso import fat, layout, loader
from tepui.iso.disk import Disk
from tepui.shell import gpt

#: progress(done, all, what): bytes written so far, bytes in all, the step.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """The pristine boot modules and GRUB's images."""

    kernel: Path
    userworld: Path
    grub: Path  # folder
    scratch: Path  # a folder with room for a bank's content

    @classmethod
    def live(cls) -> "Source":
        """On the live ISO: what GRUB loaded."""
        boot = Path("/boot")
        return cls(boot / "vmkernel", boot / "userworld", Path("/usr/lib/tepui/grub"), Path("/tmp"))


class Writer:
    """Writes images into partitions and counts."""

    def __init__(self, disk: Disk, table: gpt.Table, total: int, progress: Progress) -> None:
        self.disk, self.table = disk, table
        self.total, self.done, self.report = total, 0, progress

    def partition(self, number: int, image: Path, what: str) -> None:
        start = self.table.partitions[number - 1].first * self.table.block_size
        fat.copy(image, lambda at, data: self.disk.write(start + at, data), self._count(what))
        self.disk.flush()

    def _count(self, what: str) -> Callable[[int], None]:
        def count(size: int) -> None:
            self.done += size
            self.report(min(self.done, self.total), self.total, what)

        return count


def bank_image(path: Path, size: int, bank: str, kernel: Path, userworld: Path) -> None:
    """A bootbank's file system as an image file."""
    files: dict[str, Path | bytes] = {"vmkernel.elf": kernel, "userworld": userworld}
    fat.make(path, size, layout.SYSTEM[layout.BANKS[bank]][1], 4, files)


def write_table(disk: Disk, table: gpt.Table) -> None:
    """The partition table, without boot code, so BIOS goes on to the next device; then what an
    earlier installation left, the ESP first: until it goes UEFI boots a system that is whole."""
    primary, backup = gpt.build(table)
    disk.write(0, primary)
    disk.flush()
    for number in (layout.ESP, *layout.BANKS.values()):
        disk.write(table.partitions[number - 1].first * table.block_size, bytes(layout.MIB))
        disk.flush()
    disk.write(disk.size - len(backup), backup)
    disk.flush()


def install(
    disk: Disk,
    table: gpt.Table,
    source: Source,
    options: str,
    fill: Callable[[], None],
    progress: Progress,
) -> None:
    """Writes table, bank A (B is empty), whatever `fill` makes on the new partitions (datastore,
    OS data), and last the ESP and the boot code. Raises OSError, FatError."""
    images = loader.Images.load(source.grub)
    total = source.kernel.stat().st_size + source.userworld.stat().st_size + 4 * layout.MIB
    writer = Writer(disk, table, total, progress)
    progress(0, total, "partitions")
    write_table(disk, table)
    disk.rescan()
    progress(0, total, "datastores")
    fill()
    # One scratch file serves every partition image: on the live ISO it lies in
    # memory, and a small machine has room for one only.
    scratch = source.scratch / "partition.img"
    sizes = {p.number: p.blocks * table.block_size for p in table.partitions}
    try:
        bank_image(scratch, sizes[layout.BANK_A], "A", source.kernel, source.userworld)
        writer.partition(layout.BANK_A, scratch, "system")
        fat.make(scratch, sizes[layout.BANK_B], layout.SYSTEM[layout.BANK_B][1], 4, {})
        writer.partition(layout.BANK_B, scratch, "second bank")
        # From here on the order decides what boots after a power failure: core.img is reached only
        # through the boot record, which comes last, and UEFI boots whatever the ESP holds.
        grub = table.partitions[layout.BIOS_BOOT - 1]
        disk.write(grub.first * table.block_size, loader.core(images, table))
        fat.make(scratch, sizes[layout.ESP], "TEPUI", 1, loader.esp_files(images, table, options))
        writer.partition(layout.ESP, scratch, "boot loader")
    finally:
        scratch.unlink(missing_ok=True)
    disk.write(0, gpt.boot_record(table, loader.boot_code(images, table)))
    disk.flush()
    progress(total, total, "done")
