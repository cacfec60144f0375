# SPDX-License-Identifier: Apache-2.0
"""Machines read from what other tools printed: lspci in any of its forms, /proc/cpuinfo, and
`esxcli hardware pci list` of a running ESXi host. Anything else is one clear error."""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, Optional, Set

from tepui.hcl.model import Cpu, PciFunction

SIZE_MAX = 16 << 20
ADDRESS = r"(?:[0-9a-fA-F]{4,5}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"


class DumpError(Exception):
    """The text is not what it was said to be."""


def decode(raw: bytes, what: str) -> str:
    """The dump's text, UTF-8; raises DumpError. Pass at most SIZE_MAX + 1 bytes of a long file."""
    if len(raw) > SIZE_MAX:
        raise DumpError(
            f"{what}: too long for a dump of one machine ({SIZE_MAX >> 20} MiB at most)"
        )
    if not raw.strip():
        raise DumpError(f"{what}: the file is empty")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DumpError(f"{what}: not UTF-8 text: convert it (iconv -t UTF-8)") from None
    if "\0" in text:
        raise DumpError(f"{what}: binary data, not text")
    return text.replace("\r\n", "\n")


def _full(address: str) -> str:
    return address.lower() if address.count(":") == 2 else "0000:" + address.lower()


def _number(text: str) -> int:
    """The identifier in brackets at the end of a value, or the whole of it; -1: neither."""
    found = re.search(r"(?:\[|^)([0-9a-fA-F]{4})\]?\s*$", text)
    return int(found[1], 16) if found else -1


def _bare(text: str) -> str:
    return re.sub(r" \[[0-9a-f]{4}\]$", "", text)


def _from_nn(text: str) -> Iterator[PciFunction]:
    """`lspci -nn`, also with -k and -v: 00:01.0 Class [0200]: Vendor Device [8086:100e] (...);
    and `lspci -n`: 00:01.0 0200: 8086:100e (...)"""
    tail = r"(?: \(rev [0-9a-f]+\))?(?: \(prog-if ([0-9a-f]{2})[^)]*\))?"
    line = re.compile(
        rf"^({ADDRESS}) (?:.* \[)?([0-9a-f]{{4}})\]?: "
        rf"(?:(.*?) ?\[)?([0-9a-f]{{4}}):([0-9a-f]{{4}})\]?{tail}",
        re.M | re.I,
    )
    matches = list(line.finditer(text))
    for m, after in zip(matches, [*matches[1:], None]):
        rest = text[m.end() : after.start() if after else len(text)]
        sub = re.search(r"Subsystem:.*?\[?([0-9a-f]{4}):([0-9a-f]{4})\]?\s*$", rest, re.I | re.M)
        # -v prints the interface only where it is not 00: silence there means 00.
        verbose = re.search(r"^\s+(Flags|Control|Memory at|I/O ports)", rest, re.M) is not None
        yield PciFunction(
            _full(m[1]),
            int(m[4], 16),
            int(m[5], 16),
            int(m[2], 16) << 8 | (int(m[6], 16) if m[6] else 0),
            int(sub[1], 16) if sub else 0,
            int(sub[2], 16) if sub else 0,
            bool(m[6]) or verbose,
            (m[3] or "").strip(),
        )


def _from_vmm(text: str) -> Iterator[PciFunction]:
    """`lspci -vmmnn`: blocks of Slot:, Class:, Vendor:, Device:, SVendor:, SDevice:, ProgIf:."""
    # A version that prints the interface at all leaves out only 00.
    prints = "\nProgIf:" in text
    for block in re.split(r"\n\s*\n", text):
        tags: Dict[str, str] = dict(re.findall(r"^(\w+):[ \t]*(.*)$", block, re.M))
        ids = [_number(tags.get(tag, "")) for tag in ("Vendor", "Device", "Class")]
        if "Slot" not in tags or min(ids) < 0:
            continue
        progif = tags.get("ProgIf", "")
        known = re.fullmatch("[0-9a-fA-F]{2}", progif) is not None
        yield PciFunction(
            _full(tags["Slot"]),
            ids[0],
            ids[1],
            ids[2] << 8 | (int(progif, 16) if known else 0),
            max(_number(tags.get("SVendor", "")), 0),
            max(_number(tags.get("SDevice", "")), 0),
            known or prints,
            _bare(tags["Device"]),
        )


def _from_mm(text: str) -> Iterator[PciFunction]:
    """`lspci -mmnn`: 00:01.0 "Class [0200]" "Vendor [8086]" "Device [100e]" -r03 -p00 ..."""
    prints = re.search(r'" -p[0-9a-f]{2}\b', text) is not None
    for line in text.splitlines():
        m = re.match(rf'({ADDRESS}) "', line)
        parts = re.findall(r'"((?:[^"\\]|\\.)*)"', line)
        n = [_number(part) for part in parts]
        if not m or len(parts) < 3 or min(n[:3]) < 0:
            continue
        n += [0, 0]
        progif = re.search(r'" (?:-r[0-9a-f]{2} )?-p([0-9a-f]{2})', line)
        yield PciFunction(
            _full(m[1]),
            n[1],
            n[2],
            n[0] << 8 | (int(progif[1], 16) if progif else 0),
            max(n[3], 0),
            max(n[4], 0),
            progif is not None or prints,
            _bare(parts[2]),
        )


def _from_hex(text: str) -> Iterator[PciFunction]:
    """`lspci -x`, -xxx: the first 64 bytes of configuration space below each device's line."""
    for block in re.split(r"\n\s*\n|\n(?=[0-9a-f:]+\.[0-7] )", text):
        m = re.match(rf"\s*({ADDRESS})\b", block)
        rows = dict(re.findall(r"^([0-9a-f]{2,3}): ((?:[0-9a-f]{2} ?){16})\s*$", block, re.M))
        if not m or not {"00", "10", "20", "30"} <= set(rows):
            continue
        raw = bytes.fromhex(rows["00"] + rows["10"] + rows["20"])
        name = re.match(r"\s*\S+ [^:]*: (.*?)(?: \(rev [0-9a-f]+\))?$", block, re.M)
        plain = raw[14] & 0x7F == 0
        yield PciFunction(
            _full(m[1]),
            int.from_bytes(raw[0:2], "little"),
            int.from_bytes(raw[2:4], "little"),
            int.from_bytes(raw[9:12], "little"),
            int.from_bytes(raw[44:46], "little") if plain else 0,
            int.from_bytes(raw[46:48], "little") if plain else 0,
            name=re.sub(r" \[[0-9a-f]{4}:[0-9a-f]{4}\]$", "", name[1]) if name else "",
        )


def _whole(what: str, starts: int, found: List[PciFunction]) -> List[PciFunction]:
    """Every device that the dump begins to tell of has to be there to its end."""
    if starts != len(found):
        raise DumpError(f"{what}: {starts} devices begin, {len(found)} are whole: is it cut off?")
    return found


def lspci(text: str) -> List[PciFunction]:
    """The functions of a dump in any of lspci's forms; raises DumpError."""
    if found := list(_from_vmm(text)):
        return _whole("lspci", len(re.findall(rf"^Slot:\s*{ADDRESS}", text, re.M)), found)
    starts = re.findall(rf"^{ADDRESS}(?= |$)", text, re.M)
    for reader in (_from_mm, _from_hex, _from_nn):
        if found := list(reader(text)):
            return _whole("lspci", len(starts), found)
    if starts or re.search(r"^Slot:", text, re.M):
        raise DumpError("lspci without numbers: run `lspci -nn` (or -vmmnn, -mmnn, -xxx)")
    raise DumpError("this is no output of lspci: run `lspci -nn > FILE`")


def esxcli(text: str) -> List[PciFunction]:
    """`esxcli hardware pci list` of an ESXi host: blocks of "   Key: value"; raises DumpError."""
    head = rf"^(?={ADDRESS}[ \t]*$)"
    found: List[PciFunction] = []
    keys: Set[str] = set()
    for block in re.split(head, text, flags=re.M):
        tags: Dict[str, str] = dict(re.findall(r"^\s+([A-Za-z ]+): ?(.*?)\s*$", block, re.M))

        def number(key: str, tags: Dict[str, str] = tags) -> Optional[int]:
            try:
                return int(tags.get(key, ""), 16)
            except ValueError:
                return None

        vendor, device, code = number("Vendor ID"), number("Device ID"), number("Device Class")
        if vendor is None or device is None or code is None or "Address" not in tags:
            continue
        if keys - set(tags):
            continue  # blocks have the same keys: this one ends early
        keys = set(tags)
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
    return _whole("esxcli", len(re.findall(head, text, re.M)), found)


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
