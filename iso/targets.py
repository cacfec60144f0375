# SPDX-License-Identifier: Apache-2.0
"""The disks of this machine, and which of them a kickstart file means."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from tepui.iso import layout
from tepui.iso.disk import Disk
from tepui.iso.kickstart import Clear, Install, Vmfs, Where
from tepui.shell import gpt
from tepui.shell.gpt import Type
from tepui.shell.storageclient import Block

DISKS = Path("/dev/disks")
READ_ONLY, SSD, REMOVABLE, IN_USE = 1, 2, 4, 16


@dataclass(frozen=True, slots=True)
class Target:
    """A disk; size in bytes. table is None without a valid GPT."""

    block: Block
    table: gpt.Table | None
    contents: str

    @property
    def id(self) -> str:
        return self.block.id

    @property
    def path(self) -> Path:
        return DISKS / self.block.id

    @property
    def size(self) -> int:
        return self.block.size

    @property
    def model(self) -> str:
        return f"{self.block.vendor} {self.block.model}".strip()

    @property
    def datastore(self) -> gpt.Partition | None:
        return layout.kept_datastore(self.table)

    @property
    def fault(self) -> str:
        """Why nothing can be installed here, or ""."""
        if self.block.flags & READ_ONLY:
            return "it is read-only"
        if self.block.flags & IN_USE:
            return "it is in use"
        if self.size >> 20 < layout.DISK_MIN:
            return f"it has {self.size >> 20} MiB; {layout.DISK_MIN} are needed"
        return ""


def describe(disk: Disk, table: gpt.Table | None) -> str:
    """What is on a disk, in a few words."""
    if table is None:
        head = disk.read(0, disk.block_size)
        return "MBR partitions" if head[510:512] == b"\x55\xaa" else "empty"
    if table.find(Type.OS_DATA):
        return "Tepui with a datastore" if table.find(Type.DATASTORE) else "Tepui"
    if table.find(Type.DATASTORE):
        return "a datastore"
    count = len(table.partitions)
    return f"{count} partition{'s' if count != 1 else ''}" if count else "an empty GPT"


def look(blocks: Iterable[Block]) -> list[Target]:
    """Every disk; only reads."""
    found = []
    for block in blocks:
        if block.partition:
            continue
        try:
            with Disk(DISKS / block.id) as disk:
                try:
                    table: gpt.Table | None = disk.table()
                except gpt.GptError:
                    table = None
                found.append(Target(block, table, describe(disk, table)))
        except OSError as e:
            found.append(Target(block, None, f"unreadable: {e.strerror}"))
    return found


def _fits(target: Target, word: str) -> bool:
    """Whether a word of --firstdisk= describes the disk."""
    removable = bool(target.block.flags & REMOVABLE)
    known = {
        "local": not removable,
        "remote": False,
        "usb": removable,
        "esx": bool(target.table and target.table.find(Type.OS_DATA)),
    }
    fits = word == target.block.driver or word.lower() in target.model.lower()
    return known.get(word, fits)


def _named(targets: Sequence[Target], name: str, where: Where) -> Target:
    """The disk that a name or a pattern means; raises KickstartError for none or several."""
    name = name.removeprefix("/vmfs/devices/disks/").removeprefix("/dev/disks/")
    exact = [t for t in targets if name in (t.id, t.block.node, f"mpx.{t.block.node}")]
    found = exact or [t for t in targets if fnmatch(t.id, name) or fnmatch(t.model, name)]
    if not found:
        there = ", ".join(t.id for t in targets) or "none"
        raise where.error(f"no disk '{name}'; this machine has: {there}")
    if len(found) > 1:
        raise where.error(f"'{name}' means {len(found)} disks: {', '.join(t.id for t in found)}")
    return found[0]


def choose(targets: Sequence[Target], install: Install, where: Where) -> Target:
    """The disk to install on. Raises KickstartError."""
    if install.disk:
        found = _named(targets, install.disk, where)
    else:
        usable = [
            t for t in targets if not t.fault and not (install.ignore_ssd and t.block.flags & SSD)
        ]
        ranked = (
            t
            for word in install.first or ("local", "remote", "usb")
            for t in usable
            if _fits(t, word)
        )
        first = next(ranked, None)
        if first is None:
            raise where.error("no disk to install on fits --firstdisk")
        found = first
    if found.fault:
        raise where.error(f"{found.id}: {found.fault}")
    if found.datastore and install.vmfs in (Vmfs.ASK, Vmfs.NONE):
        raise where.error(f"{found.id} holds a datastore: say --overwritevmfs or --preservevmfs")
    return found


def cleared(
    targets: Sequence[Target], clear: Clear, where: Where, install: Install
) -> list[Target]:
    """The disks whose partitions go. Raises KickstartError, also for a datastore that the file
    does not give up."""
    if clear.all:
        found = list(targets)
    elif clear.drives:
        found = [_named(targets, name, where) for name in clear.drives]
    elif clear.ignore:
        kept = {_named(targets, name, where).id for name in clear.ignore}
        found = [t for t in targets if t.id not in kept]
    else:
        found = [choose(targets, Install(first=clear.first or (), vmfs=Vmfs.OVERWRITE), where)]
    found = [t for t in found if not t.block.flags & (READ_ONLY | IN_USE)]
    for target in found:
        if target.datastore and not clear.vmfs:
            raise where.error(f"{target.id} holds a datastore: say --overwritevmfs")
    if install.vmfs is Vmfs.PRESERVE and any(t.datastore for t in found):
        raise where.error("clearpart takes the datastore that install --preservevmfs keeps")
    return found
