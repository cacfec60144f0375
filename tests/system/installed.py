# SPDX-License-Identifier: Apache-2.0
"""Disks to install on, ISOs that do so by themselves, and QEMU's arguments for both."""

from pathlib import Path

from tepui.iso import image
from tests.system.machine import ROOT

PASSWORD = "Tepui-2026"
KICKSTART = f"""\
vmaccepteula
rootpw {PASSWORD}
install --firstdisk --overwritevmfs
network --bootproto=dhcp
reboot
"""
NIC = ("-nic", "user,model=e1000e")
SIZE = 1 << 30


def empty(path: Path, size: int = SIZE) -> Path:
    """An empty disk image."""
    with path.open("wb") as f:
        f.truncate(size)
    return path


def nvme(path: Path, serial: str = "S1", index: int | None = 0) -> tuple[str, ...]:
    """An NVMe disk on an image; the firmware tries it at `index`."""
    boot = "" if index is None else f",bootindex={index}"
    drive = f"if=none,id={serial},format=raw,file={path}"
    return ("-drive", drive, "-device", f"nvme,drive={serial},serial={serial}{boot}")


def iso(folder: Path, text: str = KICKSTART, post: str = "") -> Path:
    """An ISO with a kickstart file."""
    kickstart = folder / "ks.cfg"
    kickstart.write_text(text + post)
    modules = {"userworld": ROOT / "build/userworld.img", "ks.cfg": kickstart}
    out = folder / "install.iso"
    image.build(out, ROOT / "build/vmkernel.elf", modules, entry="install")
    return out
