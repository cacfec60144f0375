# SPDX-License-Identifier: Apache-2.0
"""Disks to install on, ISOs that do so by themselves, and QEMU's arguments for both."""

from pathlib import Path

from tepui.iso import cli, install, layout
from tepui.iso.disk import Disk
from tests.system.machine import ROOT

PASSWORD = "Tepui-2026"
KICKSTART = f"""\
vmaccepteula
rootpw {PASSWORD}
install --firstdisk --overwritevmfs
network --bootproto=dhcp
reboot
"""
KERNEL, USERWORLD = ROOT / "build/vmkernel.elf", ROOT / "build/userworld.img"
TEST_KERNEL = ROOT / "build/test/vmkernel.elf"
NIC = ("-nic", "user,model=e1000e")
SIZE = 1 << 30


def empty(path: Path, size: int = SIZE) -> Path:
    """An empty disk image."""
    with path.open("wb") as f:
        f.truncate(size)
    return path


def system(path: Path) -> None:
    """A disk with bank A, made here: no datastore, no OS data."""
    source = install.Source(KERNEL, USERWORLD, ROOT / "build/grub", path.parent)
    with Disk(empty(path), writable=True) as disk:
        table = layout.plan(disk.block_size, disk.blocks)
        install.install(disk, table, source, "", lambda: None, lambda done, total, what: None)


#: QEMU's device for each driver.
DISKS = {"nvme": "nvme", "ahci": "ide-hd,bus=ide.0", "virtio_blk": "virtio-blk-pci"}


def disk(
    path: Path, serial: str = "S1", index: int | None = 0, more: str = "", kind: str = "nvme"
) -> tuple[str, ...]:
    """A disk on an image; the firmware tries it at `index`; `more` of the drive."""
    boot = "" if index is None else f",bootindex={index}"
    drive = f"if=none,id={serial},format=raw,file={path}{more}"
    return ("-drive", drive, "-device", f"{DISKS[kind]},drive={serial},serial={serial}{boot}")


def iso(folder: Path, text: str = KICKSTART, post: str = "", keys: str = "") -> Path:
    """An ISO with a kickstart file and root's keys for SSH."""
    kickstart = folder / "ks.cfg"
    kickstart.write_text(text + post)
    out = folder / "install.iso"
    words = ["--kickstart", str(kickstart), "-o", str(out)]
    if keys:
        (folder / "id.pub").write_text(keys)
        words += ["--ssh-key", str(folder / "id.pub")]
    assert cli.main(["build", "--kernel", str(KERNEL), *words]) == 0
    return out
