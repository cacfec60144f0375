# SPDX-License-Identifier: Apache-2.0
"""Machines read from what other tools printed: lspci in any of its forms, /proc/cpuinfo, and
`esxcli hardware pci list` of a running ESXi host. Anything else is one clear error."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Optional

from tepui.hcl.model import Cpu, PciFunction

SIZE_MAX = 16 << 20
ADDRESS = r"(?:[0-9a-fA-F]{4,5}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"


class DumpError(Exception):
    """The text is not what it was said to be."""


def decode(raw: bytes, what: str) -> str:
    """The dump's text: UTF-8, or UTF-16 as PowerShell writes it; raises DumpError."""
    if len(raw) > SIZE_MAX:
        raise DumpError(f"{what}: {len(raw) >> 20} MiB is no dump of one machine (16 at most)")
    if not raw.strip():
        raise DumpError(f"{what}: the file is empty")
    try:
        if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return raw.decode("utf-16")
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "\0" in text:
        raise DumpError(f"{what}: binary data, not text")
    return text


def _full(address: str) -> str:
    return address.lower() if address.count(":") == 2 else "0000:" + address.lower()


def _from_nn(text: str) -> Iterator[PciFunction]:
    """`lspci -nn`, also with -k and -v: 00:01.0 Class [0200]: Vendor Device [8086:100e] (...)"""
    line = re.compile(
        rf"^({ADDRESS}) (.*?) \[([0-9a-f]{{4}})\]: (.*?)\[([0-9a-f]{{4}}):([0-9a-f]{{4}})\]"
        r"(?: \(rev [0-9a-f]+\))?(?: \(prog-if ([0-9a-f]{2})[^)]*\))?",
        re.M | re.I,
    )
    matches = list(line.finditer(text))
    for i, m in enumerate(matches):
        rest = text[m.end() : matches[i + 1].start() if i + 1 < len(matches) else len(text)]
        sub = re.search(r"Subsystem:.*\[([0-9a-f]{4}):([0-9a-f]{4})\]", rest, re.I)
        verbose = bool(
            re.search(r"^\s+(Flags|Control|Capabilities|Memory at|I/O ports)", rest, re.M)
        )
        progif = int(m[7], 16) if m[7] else 0
        # -v prints the interface only where it is not 00: silence there means 00.
        yield PciFunction(
            _full(m[1]),
            int(m[5], 16),
            int(m[6], 16),
            int(m[3], 16) << 8 | progif,
            int(sub[1], 16) if sub else 0,
            int(sub[2], 16) if sub else 0,
            bool(m[7]) or verbose,
            m[4].strip(),
        )


def _from_vmm(text: str) -> Iterator[PciFunction]:
    """`lspci -vmmnn`: blocks of Slot:, Class:, Vendor:, Device:, SVendor:, SDevice:, ProgIf:."""
    for block in re.split(r"\n\s*\n", text):
        tags: Dict[str, str] = dict(re.findall(r"^(\w+):\s*(.*)$", block, re.M))
        if not {"Slot", "Class", "Vendor", "Device"} <= set(tags):
            continue

        def number(tag: str, tags: Dict[str, str] = tags) -> int:
            found = re.search(r"(?:\[|^)([0-9a-fA-F]{4})\]?\s*$", tags.get(tag, ""))
            return int(found[1], 16) if found else 0

        progif = tags.get("ProgIf", "")
        known = re.fullmatch("[0-9a-fA-F]{2}", progif) is not None
        yield PciFunction(
            _full(tags["Slot"]),
            number("Vendor"),
            number("Device"),
            number("Class") << 8 | (int(progif, 16) if known else 0),
            number("SVendor"),
            number("SDevice"),
            known,
            re.sub(r" \[[0-9a-f]{4}\]$", "", tags["Device"]),
        )


def _from_mm(text: str) -> Iterator[PciFunction]:
    """`lspci -mmnn`: 00:01.0 "Class [0200]" "Vendor [8086]" "Device [100e]" -r03 ..."""
    for line in text.splitlines():
        m = re.match(rf'({ADDRESS}) "', line)
        parts = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
        ids = [re.search(r"\[([0-9a-f]{4})\]$", p, re.I) for p in parts]
        if not m or len(parts) < 3 or not all(ids[:3]):
            continue
        n = [int(i[1], 16) if i else 0 for i in ids] + [0, 0]
        progif = re.search(r" -p([0-9a-f]{2})", line)
        yield PciFunction(
            _full(m[1]),
            n[1],
            n[2],
            n[0] << 8 | (int(progif[1], 16) if progif else 0),
            n[3] if len(parts) > 3 else 0,
            n[4] if len(parts) > 4 else 0,
            progif is not None,
            re.sub(r" \[[0-9a-f]{4}\]$", "", parts[2]),
        )


def _from_hex(text: str) -> Iterator[PciFunction]:
    """`lspci -x`, -xxx: the first 64 bytes of configuration space below each device's line."""
    for block in re.split(r"\n\s*\n|\n(?=[0-9a-f:]+\.[0-7] )", text):
        m = re.match(rf"\s*({ADDRESS})\b", block)
        rows = dict(re.findall(r"^([0-9a-f]{2,3}): ((?:[0-9a-f]{2} ?){16})\s*$", block, re.M))
        if not m or "00" not in rows:
            continue
        raw = (
            bytes.fromhex(rows["00"])
            + bytes.fromhex(rows.get("10", ""))
            + bytes.fromhex(rows.get("20", ""))
        )
        sub = (
            (int.from_bytes(raw[44:46], "little"), int.from_bytes(raw[46:48], "little"))
            if len(raw) >= 48 and raw[14] & 0x7F == 0
            else (0, 0)
        )
        yield PciFunction(
            _full(m[1]),
            int.from_bytes(raw[0:2], "little"),
            int.from_bytes(raw[2:4], "little"),
            int.from_bytes(raw[9:12], "little"),
            sub[0],
            sub[1],
        )


def lspci(text: str) -> List[PciFunction]:
    """The functions of a dump in any of lspci's forms; raises DumpError."""
    for reader in (_from_vmm, _from_mm, _from_hex, _from_nn):
        found = list(reader(text))
        if found:
            return found
    if re.search(rf"^{ADDRESS} ", text, re.M):
        raise DumpError("lspci without numbers: run `lspci -nn` (or -vmmnn, -mmnn, -xxx)")
    raise DumpError("this is no output of lspci: run `lspci -nn > FILE`")


def esxcli(text: str) -> List[PciFunction]:
    """`esxcli hardware pci list` of an ESXi host: blocks of "   Key: value"."""
    found = []
    for block in re.split(
        r"\n(?=[0-9a-fA-F]{4}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]\s*\n)", "\n" + text
    ):
        tags: Dict[str, str] = dict(re.findall(r"^\s+([A-Za-z ]+): ?(.*?)\s*$", block, re.M))

        def number(key: str, tags: Dict[str, str] = tags) -> Optional[int]:
            try:
                return int(tags.get(key, ""), 16)
            except ValueError:
                return None

        vendor, device, code = number("Vendor ID"), number("Device ID"), number("Device Class")
        if vendor is None or device is None or code is None or "Address" not in tags:
            continue
        progif = number("Programming Interface")
        found.append(
            PciFunction(
                tags["Address"].lower(),
                vendor,
                device,
                code << 8 | (progif or 0),
                number("SubVendor ID") or 0,
                number("SubDevice ID") or 0,
                progif is not None,
                tags.get("Device Name", ""),
            )
        )
    if not found:
        raise DumpError("this is no output of `esxcli hardware pci list`")
    return found


def cpuinfo(text: str) -> Cpu:
    """/proc/cpuinfo; raises DumpError."""
    tags: Dict[str, str] = {}
    for key, value in re.findall(r"^([\w ]+?)\s*: ?(.*)$", text, re.M):
        tags.setdefault(key, value.strip())
    if "vendor_id" not in tags or "flags" not in tags:
        raise DumpError("this is no /proc/cpuinfo of an x86 machine")
    threads = len(re.findall(r"^processor\s*:", text, re.M))
    return Cpu(
        tags["vendor_id"], tags.get("model name", ""), frozenset(tags["flags"].split()), threads
    )
