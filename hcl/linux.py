# SPDX-License-Identifier: Apache-2.0
"""The live machine, from the sysfs and procfs paths that Linux and the vmkernel share. No root."""

from __future__ import annotations

from pathlib import Path

from tepui.hcl import dumps
from tepui.hcl.model import Machine, PciFunction


def _number(path: Path) -> int:
    try:
        return int(path.read_text().strip(), 16)
    except (OSError, ValueError):
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def pci(root: Path) -> list[PciFunction]:
    """Every PCI function below ROOT/sys/bus/pci/devices."""
    folder = root / "sys/bus/pci/devices"
    found = []
    for device in sorted(folder.iterdir()) if folder.is_dir() else []:
        found.append(
            PciFunction(
                device.name,
                _number(device / "vendor"),
                _number(device / "device"),
                _number(device / "class"),
                _number(device / "subsystem_vendor"),
                _number(device / "subsystem_device"),
            )
        )
    return found


def emulator(root: Path) -> str:
    """The hypervisor or emulator that firmware names, or ""."""
    vendor = _text(root / "sys/class/dmi/id/sys_vendor")
    for mark in ("QEMU", "Bochs", "VMware", "innotek", "Microsoft", "Xen"):
        if mark.lower() in vendor.lower():
            return mark
    return ""


def collect(root: Path = Path("/")) -> Machine:
    """The machine this runs on; what cannot be read is noted."""
    machine = Machine("this machine", pci(root))
    if not machine.pci:
        machine.notes.append("no PCI devices are visible in /sys")
    try:
        machine.cpu = dumps.cpuinfo((root / "proc/cpuinfo").read_text(errors="replace"))
    except (OSError, dumps.DumpError) as e:
        machine.notes.append(f"the CPU cannot be read: {e}")
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            machine.memory = int(line.split()[1]) * 1024
    machine.firmware = "UEFI" if (root / "sys/firmware/efi").is_dir() else "BIOS"
    machine.emulator = emulator(root)
    return machine
