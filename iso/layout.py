# SPDX-License-Identifier: Apache-2.0
"""What an installed disk looks like (DESIGN: ESP, BIOS boot, two bootbanks, OS data, datastore)."""

import uuid

from tepui.shell import gpt
from tepui.shell.gpt import Type

MIB = 1 << 20
ESP, BIOS_BOOT, BANK_A, BANK_B, OS_DATA, DATASTORE = range(1, 7)
BANKS = {"A": BANK_A, "B": BANK_B}
#: number -> type, name, MiB; the OS data's size depends on the disk, the datastore takes the rest.
SYSTEM = {
    ESP: (Type.ESP, "BOOT", 64),
    BIOS_BOOT: (Type.BIOS_BOOT, "GRUB", 1),
    BANK_A: (Type.BOOTBANK, "BOOTBANK1", 192),
    BANK_B: (Type.BOOTBANK, "BOOTBANK2", 192),
    OS_DATA: (Type.OS_DATA, "OSDATA", 0),
}
OS_DATA_MIN, OS_DATA_MAX, DATASTORE_MIN = 128, 4096, 64
DISK_MIN = 1 + sum(size for _, _, size in SYSTEM.values()) + OS_DATA_MIN + DATASTORE_MIN + 1


class LayoutError(Exception):
    """The disk cannot take the layout; for people."""


def kept_datastore(old: gpt.Table | None) -> gpt.Partition | None:
    """The datastore that an earlier installation left behind."""
    return old.find(Type.DATASTORE) if old else None


def plan(
    block_size: int, blocks: int, keep: gpt.Partition | None = None, datastore: bool = True
) -> gpt.Table:
    """The table of a disk. `keep` is a datastore that stays where it is, at the disk's end;
    without `datastore` the rest stays free. Raises LayoutError."""
    mib = MIB // block_size
    empty = gpt.Table(uuid.uuid4(), block_size, blocks, ())
    total = blocks // mib
    if total < DISK_MIN:
        raise LayoutError(f"the disk has {total} MiB; {DISK_MIN} are needed")
    # In MiB; the last one of the disk is left to the backup of the partition table.
    end = keep.first // mib if keep else total - 1
    os_data = min(max(total // 16, OS_DATA_MIN), OS_DATA_MAX)
    fixed = 1 + sum(size for _, _, size in SYSTEM.values())
    if keep:
        os_data = end - fixed
        if os_data < OS_DATA_MIN:
            raise LayoutError("the datastore to keep lies where the system's partitions have to be")
        os_data = min(os_data, OS_DATA_MAX)
    rows, at = [], 1
    for number, (kind, name, size) in SYSTEM.items():
        size = size or os_data
        first, last = at * mib, (at + size) * mib - 1
        rows.append(gpt.Partition(number, kind.value, uuid.uuid4(), first, last, name))
        at += size
    if keep:
        rows.append(
            gpt.Partition(DATASTORE, keep.type, keep.guid, keep.first, keep.last, keep.name)
        )
    elif datastore:
        # Blocks behind the last whole MiB stay unused, so that datastore blocks are aligned.
        last = min(end * mib - 1, empty.last_usable)
        rows.append(
            gpt.Partition(
                DATASTORE, Type.DATASTORE.value, uuid.uuid4(), at * mib, last, "datastore1"
            )
        )
    table = gpt.Table(empty.guid, block_size, blocks, tuple(rows))
    gpt.check(table)
    return table
