# SPDX-License-Identifier: Apache-2.0
"""The verdict: whether an image installs on a machine, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Tuple

from tepui.hcl.model import BY_PCI_CLASS, BY_PCI_ID, Driver, HclList, Machine, PciFunction, Row

MEMORY_MIN = 512 << 20
#: DMI's words for the emulators that evidence can name.
EMULATORS = ("QEMU", "Bochs")

#: CPUID bits that back ends ask for, as Linux's flag names: (leaf, register, bit).
FLAG_OF = {
    (0x80000001, 2, 2): "svm",
    (0x8000000A, 3, 0): "npt",
    (0x00000001, 2, 5): "vmx",
}

WILL_INSTALL, WARNINGS, WILL_NOT, CANNOT_TELL = 0, 3, 1, 4
VERDICTS = {
    WILL_INSTALL: "WILL INSTALL",
    WARNINGS: "INSTALLS WITH WARNINGS",
    WILL_NOT: "WILL NOT INSTALL",
    CANNOT_TELL: "CANNOT TELL",
}

#: Classes that need no driver: bridges, memory, processors, system peripherals.
QUIET = {0x05, 0x06, 0x08, 0x0B, 0x00}
BLOCK_CLASSES, NET_CLASSES = {0x01}, {0x02}


@dataclass(frozen=True)
class Finding:
    """One line of the verdict. code: ESXi's precheck code, or DEVICE."""

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


def _device(hcl: HclList, machine: Machine, p: PciFunction) -> Tuple[Finding, Optional[Match]]:
    m = match(hcl, p)
    subject = f"{p.address} {p.name or f'{p.vendor:04x}:{p.device:04x}'}"
    if m is None:
        if p.base in QUIET:
            return Finding("DEVICE", "INFO", subject, "needs no driver"), None
        text = f"no driver for {p.vendor:04x}:{p.device:04x} (class {p.class_code >> 8:04x})"
        return Finding("UNSUPPORTED_DEVICES", "WARNING", subject, text), None
    if m.row.level == "BLOCKED":
        return Finding(
            "UNSUPPORTED_DEVICES",
            "WARNING",
            subject,
            f"known not to work: {m.row.name}",
            m.driver.name,
            "BLOCKED",
        ), None
    evidence = m.row.level
    if evidence == "EMULATED" and machine.emulator not in EMULATORS:
        evidence = "SUPPORTED: tested on QEMU's model only"
    text = m.row.name if m.sure else f"probably {m.row.name} (the dump omits the interface)"
    return Finding("DEVICE", "OK", subject, text, m.driver.name, evidence), m


def _cpu(hcl: HclList, machine: Machine, legacy_ok: bool) -> List[Finding]:
    cpu = machine.cpu
    if cpu is None or cpu.flags is None:
        return [Finding("HARDWARE_VIRTUALIZATION", "WARNING", "CPU", "the source does not tell")]
    bad = "WARNING" if legacy_ok else "ERROR"
    out = []
    if "lm" not in cpu.flags:
        out.append(Finding("64BIT_LONGMODESTATUS", bad, cpu.model, "the CPU has no 64-bit mode"))
    for b in hcl.backends:
        if b.vendor != cpu.vendor:
            continue
        wanted = [(b.leaf, b.reg, b.bit)] + (
            [(b.need_leaf, b.need_reg, b.need_bit)] if b.need_leaf else []
        )
        missing = [FLAG_OF.get(w, str(w)) for w in wanted if FLAG_OF.get(w) not in cpu.flags]
        if not missing:
            return [
                *out,
                Finding("HARDWARE_VIRTUALIZATION", "OK", cpu.model, b.desc, b.name, b.level),
            ]
        text = f"{b.desc}: {', '.join(missing)} is missing (perhaps off in the firmware's setup)"
        return [*out, Finding("HARDWARE_VIRTUALIZATION", bad, cpu.model, text, b.name)]
    have = ", ".join(b.desc for b in hcl.backends) or "none"
    text = f"no virtualization back end for {cpu.vendor} in this image (it has: {have})"
    return [*out, Finding("HARDWARE_VIRTUALIZATION", bad, cpu.model, text)]


def _memory(machine: Machine) -> Finding:
    if not machine.memory:
        return Finding("MEMORY_SIZE", "WARNING", "memory", "the source does not tell")
    text = f"{machine.memory >> 20} MiB"
    # Firmware keeps some of it: a machine sold with the minimum passes.
    if machine.memory < MEMORY_MIN * 9 // 10:
        return Finding("MEMORY_SIZE", "ERROR", "memory", f"{text}; {MEMORY_MIN >> 20} are needed")
    return Finding("MEMORY_SIZE", "OK", "memory", text)


def _need(findings: List[Finding], matches: List[Match], machine: Machine, kind: str) -> None:
    """At least one boot disk's adapter and one NIC."""
    if any(m.driver.kind == kind for m in matches):
        return
    classes = BLOCK_CLASSES if kind == "block" else NET_CLASSES
    there = [p for p in machine.pci if p.base in classes]
    code, what = (
        ("NO_BOOT_DISK", "disk controller") if kind == "block" else ("NO_NICS", "network adapter")
    )
    if there:
        p = there[0]
        subject = f"{p.address} {p.name or f'{p.vendor:04x}:{p.device:04x}'}"
        text = f"the only {what} has no driver in this image"
    else:
        subject, text = what, f"no {what} was found"
    instead = (
        "an NVMe or AHCI disk" if kind == "block" else "an adapter of `tepui hcl list --class net`"
    )
    findings.append(Finding(code, "ERROR", subject, f"{text}; {instead} would do"))


def check(hcl: HclList, machine: Machine, legacy_cpu_ok: bool = False) -> Verdict:
    """Judges a machine."""
    if not machine.pci:
        return Verdict(
            CANNOT_TELL, [Finding("DEVICE", "ERROR", machine.source, "no device was read")]
        )
    findings = [*_cpu(hcl, machine, legacy_cpu_ok), _memory(machine)]
    if machine.cpu and machine.cpu.threads == 1:
        findings.append(Finding("CPU_CORES", "WARNING", "CPU", "one CPU only; two are better"))
    devices, matches = [], []
    for p in machine.pci:
        finding, m = _device(hcl, machine, p)
        devices.append(finding)
        if m:
            matches.append(m)
    _need(findings, matches, machine, "block")
    _need(findings, matches, machine, "net")
    if machine.usb_keyboard_only:
        findings.append(
            Finding(
                "USB_KEYBOARD",
                "WARNING",
                "keyboard",
                "the only keyboard is USB: use the serial console or the network",
            )
        )
    findings += [Finding("NOTE", "WARNING", machine.source, n) for n in machine.notes]
    findings += devices
    levels = {f.level for f in findings}
    status = WILL_NOT if "ERROR" in levels else WARNINGS if "WARNING" in levels else WILL_INSTALL
    return Verdict(status, findings)
