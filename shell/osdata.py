# SPDX-License-Identifier: Apache-2.0
"""The host's own data: what outlives a reboot, on the OS-data partition of the disk it booted from.

The boot bank's menu passes `bootbank=PARTITION-GUID`; the OS data is the partition of type OS_DATA
on the same disk. It is a datastore; the folders in LINKS become links into it. Without the option
(the live ISO) they stay in memory."""

import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from tepui.shell.datastore.partitions import OS_DATA
from tepui.shell.storageclient import Block

#: Where programs look, and the folder in the volume.
LINKS = {"/var/core": "core", "/var/log": "log", "/var/lib/tepui": "tepui"}


def find(devices: Sequence[Block], options: str) -> Block | None:
    """The OS-data partition of the boot disk, or None: booted from elsewhere, or there is none."""
    found = re.search(r"(?:^|\s)bootbank=([0-9A-Fa-f-]{36})(?:\s|$)", options)
    if not found:
        return None
    bank = uuid.UUID(found[1]).bytes_le
    disks = {b.disk for b in devices if b.partition and b.part_guid == bank}
    return next((b for b in devices if b.disk in disks and b.type == OS_DATA), None)


def _move_into(old: Path, new: Path) -> None:
    """What was written before the volume was there; a file that the volume has already wins."""
    for path in old.iterdir():
        target = new / path.name
        if path.is_dir() and target.is_dir():
            _move_into(path, target)
        elif not target.exists():
            shutil.move(path, target)


def attach(volume: Path, root: Path = Path("/")) -> None:
    """Makes the host's folders links into the volume."""
    for name, inside in LINKS.items():
        link, target = root / name.lstrip("/"), volume / inside
        target.mkdir(parents=True, exist_ok=True)
        if link.is_dir() and not link.is_symlink():
            _move_into(link, target)
            shutil.rmtree(link)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    scratch = root / "scratch"
    scratch.unlink(missing_ok=True)
    scratch.symlink_to(volume)
