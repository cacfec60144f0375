# SPDX-License-Identifier: Apache-2.0
"""The verdict: whether an image installs on a machine, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple, Union

from tepui.hcl.model import (
    BY_PCI_CLASS,
    BY_PCI_ID,
    Backend,
    Driver,
    HclList,
    Machine,
    PciFunction,
    Row,
)

MEMORY_MIN = 512 << 20
#: The installed layout (two boot banks, logs, a small datastore).
DISK_MIN = 4 << 30
#: DMI's words for the emulators that evidence can name.
EMULATORS = ("QEMU", "Bochs")

#: CPUID bits that back ends ask for, as Linux's flag names: (leaf, register, bit).
FLAG_OF = {
    (0x80000001, 2, 2): "svm",
    (0x8000000A, 3, 0): "npt",
    (0x80000001, 3, 29): "lm",
    (0x8000000A, 3, 3): "nrip_save",
    (0x00000001, 2, 5): "vmx",
    (0x00000001, 2, 26): "xsave",
}

WILL_INSTALL, WARNINGS, WILL_NOT, CANNOT_TELL = 0, 3, 1, 4
VERDICTS = {
    WILL_INSTALL: "WILL INSTALL",
    WARNINGS: "INSTALLS WITH WARNINGS",
    WILL_NOT: "WILL NOT INSTALL",
    CANNOT_TELL: "CANNOT TELL",
}

#: Base classes whose devices matter to an install: storage and network. Others are told of.
KIND_OF = {0x01: "block", 0x02: "net"}
#: Virtio's SCSI adapters, which some clouds give no class.
UNCLASSED = {(0x1AF4, 0x1004): "block", (0x1AF4, 0x1048): "block"}
#: What is left alone, and what that means to its user; by base class and subclass, or base class.
LEFT_ALONE = {
    0x03: "shown through the firmware's framebuffer",
    0x0C03: "left alone: USB keyboards and sticks do not work",
    0x0C04: "left alone: no Fibre Channel",
    0x0D: "left alone: no wireless",
}
NEEDS = {"block": ("NO_BOOT_DISK", "disk controller"), "net": ("NO_NICS", "network adapter")}


@dataclass(frozen=True)
class Finding:
    """One line of the verdict. code: a precheck code as ESXi has them, or DEVICE, DISK, USB."""

    code: str
    level: str  # OK, WARNING, ERROR, INFO
    subject: str
    text: str
    driver: str = ""
    evidence: str = ""


@dataclass
class Verdict:
    """The answer; status is the exit status."""

    status: int
    findings: List[Finding] = field(default_factory=list)

    @property
    def words(self) -> str:
        return VERDICTS[self.status]

    @property
    def blocking(self) -> List[Finding]:
        """What keeps it from installing."""
        return [f for f in self.findings if f.level == "ERROR"]


@dataclass(frozen=True)
class Match:
    driver: Driver
    row: Row
    sure: bool  # False: only because class and subclass fit


def match(hcl: HclList, p: PciFunction) -> Optional[Match]:
    """The row that the kernel would choose: by subsystem, id, then class."""
    best: Tuple[int, Optional[Match]] = (0, None)
    for driver in hcl.drivers:
        for row in driver.rows:
            score, sure = 0, True
            if row.kind == BY_PCI_ID and (row.vendor, row.device) == (p.vendor, p.device):
                own = (row.subvendor, row.subdevice) != (0, 0)
                if not own:
                    score = 3
                elif (row.subvendor, row.subdevice) == (p.subvendor, p.subdevice):
                    score = 4
            elif row.kind == BY_PCI_CLASS and p.exact and row.class_code == p.class_code:
                score = 2
            elif row.kind == BY_PCI_CLASS and not p.exact and row.class_code >> 8 == p.subclass:
                score, sure = 2, False
            if score > best[0]:
                best = (score, Match(driver, row, sure))
    return best[1]


def _kind(p: PciFunction) -> str:
    return KIND_OF.get(p.base) or UNCLASSED.get((p.vendor, p.device), "")


def _subject(p: PciFunction) -> str:
    return f"{p.address} {p.name or f'{p.vendor:04x}:{p.device:04x}'}"


def _evidence(machine: Machine, row: Union[Row, Backend]) -> str:
    """What a row's level is worth on this machine."""
    if row.level == "EMULATED" and machine.emulator not in EMULATORS:
        return "SUPPORTED: tested on QEMU's model only"
    return row.level + (f" ({row.evidence})" if row.evidence else "")


def _device(machine: Machine, p: PciFunction, m: Optional[Match]) -> Finding:
    if m is None:
        if not _kind(p):
            text = LEFT_ALONE.get(p.subclass) or LEFT_ALONE.get(p.base) or "needs no driver"
            return Finding("DEVICE", "INFO", _subject(p), text)
        text = f"no driver for {p.vendor:04x}:{p.device:04x} (class {p.subclass:04x})"
        return Finding("UNSUPPORTED_DEVICES", "WARNING", _subject(p), text)
    if m.row.level == "BLOCKED":
        text = f"known not to work: {m.row.name}"
        return Finding(
            "UNSUPPORTED_DEVICES", "WARNING", _subject(p), text, m.driver.name, "BLOCKED"
        )
    text = m.row.name if m.sure else f"probably {m.row.name} (the dump omits the interface)"
    return Finding("DEVICE", "OK", _subject(p), text, m.driver.name, _evidence(machine, m.row))


def _cpu(hcl: HclList, machine: Machine, legacy_ok: bool) -> List[Finding]:
    cpu = machine.cpu
    if cpu is None or cpu.flags is None:
        return [Finding("HARDWARE_VIRTUALIZATION", "WARNING", "CPU", "the source does not tell")]
    bad = "WARNING" if legacy_ok else "ERROR"
    out = []
    if "lm" not in cpu.flags:
        out.append(Finding("64BIT_LONGMODESTATUS", bad, cpu.model, "the CPU has no 64-bit mode"))
    code = "HARDWARE_VIRTUALIZATION"
    for b in hcl.backends:
        if b.vendor != cpu.vendor:
            continue
        wanted = [(b.leaf, b.reg, b.bit)]
        wanted += [(b.need_leaf, b.need_reg, b.need_bit)] if b.need_leaf else []
        missing = [FLAG_OF.get(w, str(w)) for w in wanted if FLAG_OF.get(w) not in cpu.flags]
        if not missing:
            evidence = _evidence(machine, b)
            return [*out, Finding(code, "OK", cpu.model, b.desc, b.name, evidence)]
        text = f"{b.desc}: {', '.join(missing)} is missing (perhaps off in the firmware's setup)"
        return [*out, Finding(code, bad, cpu.model, text, b.name)]
    have = ", ".join(b.desc for b in hcl.backends) or "none"
    text = f"no virtualization back end for {cpu.vendor} in this image (it has: {have})"
    return [*out, Finding(code, bad, cpu.model, text)]


def _memory(machine: Machine) -> Finding:
    if not machine.memory:
        return Finding("MEMORY_SIZE", "WARNING", "memory", "the source does not tell")
    text = f"{machine.memory >> 20} MiB"
    # Firmware keeps some of it: a machine sold with the minimum passes.
    if machine.memory < MEMORY_MIN * 9 // 10:
        return Finding("MEMORY_SIZE", "ERROR", "memory", f"{text}; {MEMORY_MIN >> 20} are needed")
    return Finding("MEMORY_SIZE", "OK", "memory", text)


def _need(hcl: HclList, machine: Machine, usable: Dict[str, Match], kind: str) -> Optional[Finding]:
    """At least one boot disk's adapter and one NIC; else what is there, and what would do."""
    if any(m.driver.kind == kind for m in usable.values()):
        return None
    code, what = NEEDS[kind]
    there = [p for p in machine.pci or [] if _kind(p) == kind]
    if there:
        subject = "; ".join(_subject(p) for p in there[:3])
        text = (
            f"the only {what} has no driver in this image"
            if len(there) == 1
            else f"none of the {len(there)} {what}s has a driver in this image"
        )
    else:
        subject, text = what, f"no {what} was found"
    instead = ", ".join(d.desc for d in hcl.drivers if d.kind == kind) or "nothing in this image"
    return Finding(code, "ERROR", subject, f"{text}; what would do: {instead}")


def _disks(machine: Machine, usable: Dict[str, Match]) -> List[Finding]:
    """The live machine's disks: each with its controller; one has to be usable and large enough."""
    out, best = [], 0
    for d in machine.disks or []:
        reached = d.controller in usable
        size = f"{d.size / (1 << 30):.1f} GiB"
        text = f"{size} on {d.controller or 'an unknown controller'}"
        out.append(
            Finding(
                "DISK", "OK" if reached else "INFO", d.name, text + "; not seen" * (not reached)
            )
        )
        best = max(best, d.size if reached else 0)
    if machine.disks and not best:
        text = "no disk is behind a controller that has a driver in this image"
        out.append(Finding("NO_BOOT_DISK", "ERROR", "disks", text))
    elif machine.disks is not None and best < DISK_MIN:
        text = "no disk was found" if not best else f"none has {DISK_MIN >> 30} GiB"
        out.append(Finding("BOOT_DISK_SIZE", "WARNING", "disks", f"{text} to install on"))
    return out


def _keyboard(machine: Machine) -> List[Finding]:
    keyboards = [u for u in machine.usb if u.keyboard]
    if not keyboards or machine.ps2_keyboard:
        return []
    only = "the only keyboard is USB" if machine.ps2_keyboard is False else "a USB keyboard"
    text = f"{only}, which does not work: use PS/2, the serial console or the network"
    return [Finding("USB_KEYBOARD", "WARNING", k.name or k.address, text) for k in keyboards[:1]]


def check(hcl: HclList, machine: Machine, legacy_cpu_ok: bool = False) -> Verdict:
    """Judges a machine."""
    if machine.pci is None:
        text = "no PCI bus can be looked at: nothing is known of its devices"
        return Verdict(CANNOT_TELL, [Finding("DEVICE", "ERROR", machine.source, text)])
    findings = [*_cpu(hcl, machine, legacy_cpu_ok), _memory(machine)]
    if machine.cpu and machine.cpu.threads == 1:
        findings.append(Finding("CPU_CORES", "WARNING", "CPU", "one CPU only; two are better"))
    if machine.firmware:
        findings.append(Finding("FIRMWARE", "INFO", "firmware", machine.firmware))
    matches = {p.address: match(hcl, p) for p in machine.pci}
    usable = {a: m for a, m in matches.items() if m and m.row.level != "BLOCKED"}
    needs = [_need(hcl, machine, usable, kind) for kind in NEEDS]
    findings += [f for f in needs if f]
    # Without a usable storage controller the disks behind it say nothing.
    if not needs[0]:
        findings += _disks(machine, usable)
    findings += _keyboard(machine)
    findings += [Finding("NOTE", "WARNING", machine.source, n) for n in machine.notes]
    findings += [_device(machine, p, matches[p.address]) for p in machine.pci]
    findings += [
        Finding("USB", "INFO", f"usb {u.address}", u.name or f"{u.vendor:04x}:{u.product:04x}")
        for u in machine.usb
    ]
    if machine.usb_note:
        findings.append(Finding("USB", "INFO", "USB", machine.usb_note))
    levels = {f.level for f in findings}
    status = WILL_NOT if "ERROR" in levels else WARNINGS if "WARNING" in levels else WILL_INSTALL
    return Verdict(status, findings)
