# SPDX-License-Identifier: Apache-2.0
"""What a VM is: a description read from a .vmx file with VMware's keys.

    displayName = "web"
    numvcpus = "2"
    memSize = "1024"
    ethernet0.present = "TRUE"
    ethernet0.networkName = "VM Network"
    scsi0:0.present = "TRUE"
    scsi0:0.fileName = "web.vmdk"
    tepui.kernel = "vmlinuz"            (ours: direct boot; paths are relative to the .vmx)

Source: the keys that ESXi writes; ours begin with `tepui.`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from pathlib import Path
from uuid import UUID, uuid4

from tepui.shell.vm import devices
from tepui.shell.vm.devices import Device, yes
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import MIB

LINE = re.compile(r'^\s*([\w.:/-]+)\s*=\s*"(.*)"\s*$')
CPUS_MAX, SLOTS = 64, 28
#: Keys that switch on devices which we do not have.
ABSENT = {
    "svga.present": "graphics",
    "floppy0.present": "floppy drives",
    "usb.present": "USB controllers",
    "usb_xhci.present": "USB controllers",
    "sound.present": "sound",
}


class Flags(IntFlag):
    """enum vm_flags."""

    KVM_LEAVES = 1
    HIDE_HYPERVISOR = 2
    NO_X2APIC = 4
    DEBUG_EXIT = 8


@dataclass(frozen=True, slots=True)
class Shares:
    """CPU resources: shares (1000 is normal); minimum, maximum in percent of one CPU (0: none)."""

    shares: int = 1000
    min_pct: int = 0
    max_pct: int = 0


@dataclass(frozen=True, slots=True)
class VmSpec:
    """memory in bytes. kernel, initrd: files; append: the kernel's command line. folder: where
    relative names of disks begin."""

    name: str
    cpus: int = 1
    memory: int = 256 * MIB
    uuid: UUID = field(default_factory=uuid4)
    flags: Flags = Flags.KVM_LEAVES
    sched: Shares = Shares()
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    devices: tuple[Device, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()  # keys that we keep and do not use
    folder: Path = Path()

    def __post_init__(self) -> None:
        if not 1 <= self.cpus <= CPUS_MAX:
            raise VmError(f"{self.name}: {self.cpus} CPUs; 1 to {CPUS_MAX} are possible")
        if self.memory < 4 * MIB or self.memory % (2 * MIB):
            raise VmError(f"{self.name}: memory must be a multiple of 2 MiB, at least 4 MiB")
        if not self.name or len(self.name.encode()) > 63:
            raise VmError("a VM's name has 1 to 63 bytes")
        if len(self.devices) > SLOTS:
            raise VmError(f"{self.name}: more than {SLOTS} devices")


def parse_lines(text: str) -> dict[str, str]:
    """The assignments of a .vmx by lower-case key; VmError with the line's number."""
    out: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):  # not what Unicode calls line ends
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.match(line)
        if not match:
            raise VmError(f'line {number}: not of the form key = "value"')
        out[match[1].lower()] = re.sub(
            r"\|([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), match[2]
        )
    return out


def number(keys: Mapping[str, str], key: str, default: int) -> int:
    try:
        return int(keys.get(key, default))
    except ValueError:
        raise VmError(f"{key} is not a number: {keys[key]!r}") from None


def parse(text: str, folder: Path = Path()) -> VmSpec:
    """A .vmx file's text; relative paths are below `folder`."""
    keys = parse_lines(text)

    def path(key: str) -> Path | None:
        return folder / keys[key] if keys.get(key) else None

    flags = Flags(0)
    if keys.get("tepui.clock", "kvm") == "kvm":
        flags |= Flags.KVM_LEAVES
    if yes(keys, "tepui.debugexit"):
        flags |= Flags.DEBUG_EXIT
    if "hypervisor.cpuid.v0" in keys and not yes(keys, "hypervisor.cpuid.v0"):
        flags |= Flags.HIDE_HYPERVISOR
    known = re.compile(
        r"displayname|numvcpus|memsize|uuid\.bios|tepui\..*|hypervisor\.cpuid\.v0|sched\.cpu\..*|"
        + devices.KEYS
    )
    # Keys that this version does not know are kept and written back: VMware's files have many.
    digits = re.sub(r"[^0-9a-fA-F]", "", keys.get("uuid.bios", ""))
    return VmSpec(
        name=keys.get("displayname", ""),
        cpus=number(keys, "numvcpus", 1),
        memory=number(keys, "memsize", 256) * MIB,
        uuid=UUID(digits) if len(digits) == 32 else uuid4(),
        flags=flags,
        sched=Shares(
            number(keys, "sched.cpu.shares", 1000),
            number(keys, "sched.cpu.minpct", 0),
            number(keys, "sched.cpu.maxpct", 0),
        ),
        kernel=path("tepui.kernel"),
        initrd=path("tepui.initrd"),
        append=keys.get("tepui.append", ""),
        devices=devices.read_all(keys),
        extra=tuple((k, v) for k, v in keys.items() if not known.fullmatch(k)),
        folder=folder,
    )


def missing(text: str) -> list[str]:
    """What a .vmx asks for that is not there yet, in words."""
    keys = parse_lines(text)
    drives = (k.removesuffix(".devicetype") for k, v in keys.items()
              if k.endswith(".devicetype") and v.lower().startswith("cdrom"))  # fmt: skip
    found = [f"CD-ROM drives ({unit})" for unit in sorted(drives) if yes(keys, f"{unit}.present")]
    if keys.get("firmware", "bios").lower() != "bios" or not keys.get("tepui.kernel"):
        found.append("booting by firmware (give it tepui.kernel)")
    found += [f"{what} ({key.partition('.')[0]})" for key, what in ABSENT.items() if yes(keys, key)]
    return found


def edit(text: str, changes: Mapping[str, str | None]) -> str:
    """A .vmx text with some keys set, or removed (None); all other lines stay as they are."""
    left = {key.lower(): (key, value) for key, value in changes.items()}
    lines = []
    for line in text.splitlines():
        match = LINE.match(line)
        if match and match[1].lower() in left:
            _, value = left.pop(match[1].lower())
            if value is not None:
                lines.append(f"{match[1]} = {quoted(value)}")
            continue
        lines.append(line)
    lines += [f"{key} = {quoted(value)}" for key, value in left.values() if value is not None]
    return "".join(f"{line}\n" for line in lines)


def quoted(value: str) -> str:
    """A value between quotes: `|`, `"` and control characters as |xx."""
    return '"' + re.sub(r'[|"\x00-\x1f]', lambda m: f"|{ord(m[0]):02X}", value) + '"'


def format_vmx(spec: VmSpec) -> str:
    """The .vmx text of a description; `parse` gives it back."""
    rows: list[tuple[str, str]] = [
        ("config.version", "8"),
        ("displayName", spec.name),
        ("numvcpus", str(spec.cpus)),
        ("memSize", str(spec.memory // MIB)),
        ("uuid.bios", str(spec.uuid)),
        ("tepui.clock", "kvm" if spec.flags & Flags.KVM_LEAVES else "none"),
        ("sched.cpu.shares", str(spec.sched.shares)),
        ("sched.cpu.minPct", str(spec.sched.min_pct)),
        ("sched.cpu.maxPct", str(spec.sched.max_pct)),
    ]
    if spec.flags & Flags.DEBUG_EXIT:
        rows.append(("tepui.debugExit", "TRUE"))
    if spec.flags & Flags.HIDE_HYPERVISOR:
        rows.append(("hypervisor.cpuid.v0", "FALSE"))
    for key, file in (("tepui.kernel", spec.kernel), ("tepui.initrd", spec.initrd)):
        if file:
            rows.append((key, str(file)))
    if spec.append:
        rows.append(("tepui.append", spec.append))
    rows += devices.write_all(spec.devices)
    rows += [row for row in spec.extra if row[0] != "config.version"]
    return "".join(f"{key} = {quoted(value)}\n" for key, value in rows)
