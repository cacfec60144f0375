# SPDX-License-Identifier: Apache-2.0
"""The live machine, from the sysfs and procfs paths that Linux and the vmkernel share. No root."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional

from tepui.hcl import dumps, ids, usb
from tepui.hcl.model import Disk, Machine, PciFunction

SECTOR = 512
#: Block devices that are no disks of the machine's own.
NO_DISKS = re.compile(r"loop|ram|zram|sr|fd|dm-|md|nbd|mtd")
FUNCTION = re.compile(r"[0-9a-f]{4,5}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path, base: int = 16) -> int:
    try:
        return int(_text(path), base)
    except ValueError:
        return 0


def pci(root: Path) -> Optional[List[PciFunction]]:
    """Every PCI function below ROOT/sys/bus/pci/devices; None where that is not visible."""
    folder = root / "sys/bus/pci/devices"
    if not folder.is_dir():
        return None
    names = ids.load("pci.ids", root)
    found = []
    for device in sorted(folder.iterdir()):
        vendor, number = _number(device / "vendor"), _number(device / "device")
        found.append(
            PciFunction(
                device.name,
                vendor,
                number,
                _number(device / "class"),
                _number(device / "subsystem_vendor"),
                _number(device / "subsystem_device"),
                name=names.both(vendor, number),
            )
        )
    return found


def disks(root: Path) -> Optional[List[Disk]]:
    """The disks of ROOT/sys/block with their controllers; None where that is not visible."""
    folder = root / "sys/block"
    if not folder.is_dir():
        return None
    found = []
    for entry in sorted(folder.iterdir()):
        size = _number(entry / "size", 10) * SECTOR
        if NO_DISKS.match(entry.name) or not size or _number(entry / "removable", 10):
            continue
        path = str((entry / "device").resolve())
        found.append(Disk(entry.name, size, (FUNCTION.findall(path) or [""])[-1]))
    return found


def emulator(root: Path, cpu: str) -> str:
    """The hypervisor or emulator that firmware or the CPU's name tells of, or ""."""
    told = f"{_text(root / 'sys/class/dmi/id/sys_vendor')} {cpu}".lower()
    for mark in ("QEMU", "Bochs", "VMware", "innotek", "Microsoft", "Xen"):
        if mark.lower() in told:
            return mark
    return ""


def ps2_keyboard(root: Path) -> Optional[bool]:
    """Whether an i8042 keyboard port has a keyboard; None where the system has no input list."""
    listing = _text(root / "proc/bus/input/devices")
    if not listing:
        return None
    return any("isa0060/serio0" in block for block in listing.split("\n\n"))


def collect(root: Path = Path("/"), with_usb: bool = True) -> Machine:
    """The machine this runs on; what cannot be read is noted."""
    machine = Machine("this machine", pci(root), disks=disks(root))
    try:
        machine.cpu = dumps.cpuinfo(_text(root / "proc/cpuinfo"))
    except dumps.DumpError as e:
        machine.notes.append(f"the CPU cannot be read: {e}")
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            machine.memory = int(line.split()[1]) * 1024
    machine.firmware = "UEFI" if (root / "sys/firmware/efi").is_dir() else "BIOS"
    machine.emulator = emulator(root, machine.cpu.model if machine.cpu else "")
    machine.ps2_keyboard = ps2_keyboard(root)
    if with_usb:
        machine.usb, machine.usb_note = usb.live()
    return machine
