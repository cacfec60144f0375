# SPDX-License-Identifier: Apache-2.0
"""VMDK descriptors: the text file that names a virtual disk's contents.

    # Disk DescriptorFile
    createType="vmfs"
    RW 16777216 VMFS "web-flat.vmdk"
    ddb.thinProvisioned = "1"

Source: VMware, "Virtual Disk Format 5.0", "The Descriptor File". One flat extent is what we write
and read; sparse extents, snapshots and raw device mappings are refused by name.
"""

import re
from dataclasses import dataclass

from tepui.shell.vm.errors import VmError

SECTOR = 512
HEADS, TRACK = 255, 63
NO_PARENT = 0xFFFFFFFF
FLAT = ("vmfs", "monolithicFlat", "custom")
EXTENT = re.compile(r'^(RW|RDONLY|NOACCESS) +(\d+) +(\w+)(?: +"([^"]*)"(?: +(\d+))?)?\s*$')
PAIR = re.compile(r'^\s*([\w.]+)\s*=\s*"?([^"]*)"?\s*$')
OWN = ("ddb.thinProvisioned", "ddb.geometry.cylinders", "ddb.geometry.heads",
       "ddb.geometry.sectors")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Descriptor:
    """sectors of 512 bytes; extent: the contents' file name; ddb: further entries, kept."""

    sectors: int
    extent: str
    thin: bool = False
    content_id: int = 0xFFFFFFFE
    ddb: tuple[tuple[str, str], ...] = (
        ("ddb.adapterType", "lsilogic"),
        ("ddb.virtualHWVersion", "19"),
    )


def parse(text: str) -> Descriptor:
    """VmError for what is no descriptor, or of a kind that we do not have."""
    if "# Disk DescriptorFile" not in text[:200]:
        raise VmError("not a VMDK descriptor")
    header: dict[str, str] = {}
    extents = []
    for line in text.split("\n"):  # not what Unicode calls line ends
        if match := EXTENT.match(line):
            extents.append(match)
        elif not line.startswith("#") and (pair := PAIR.match(line)):
            header[pair[1]] = pair[2]
    kind = header.get("createType", "")
    if kind not in FLAT:
        raise VmError(f'disks of type "{kind}" are not in this version')
    if number(header, "parentCID", NO_PARENT) != NO_PARENT:
        raise VmError("snapshots are not in this version")
    if len(extents) != 1:
        raise VmError(f"{len(extents)} extents: one is possible")
    access, sectors, form, name, offset = extents[0].groups()
    if access != "RW" or form not in ("VMFS", "FLAT") or not name or offset not in (None, "0"):
        raise VmError(f"extents of the form {extents[0][0].strip()!r} are not in this version")
    if "/" in name or int(sectors) == 0:
        raise VmError(f"the extent {name!r} of {sectors} sectors is none beside the descriptor")
    ddb = tuple((k, v) for k, v in header.items() if k.startswith("ddb.") and k not in OWN)
    thin = header.get("ddb.thinProvisioned") == "1"
    return Descriptor(int(sectors), name, thin, number(header, "CID", 0xFFFFFFFE), ddb)


def number(header: dict[str, str], key: str, default: int) -> int:
    """A hexadecimal entry."""
    try:
        return int(header[key], 16) if key in header else default
    except ValueError:
        raise VmError(f"{key} is not a number: {header[key]!r}") from None


def build(d: Descriptor) -> str:
    """The text; `parse` gives the description back."""
    ddb = [*d.ddb, ("ddb.geometry.cylinders", str(d.sectors // (HEADS * TRACK)))]
    ddb += [("ddb.geometry.heads", str(HEADS)), ("ddb.geometry.sectors", str(TRACK))]
    ddb += [("ddb.thinProvisioned", "1")] if d.thin else []
    rows = "".join(f'{key} = "{value}"\n' for key, value in sorted(ddb))
    return (
        f'# Disk DescriptorFile\nversion=1\nencoding="UTF-8"\nCID={d.content_id:08x}\n'
        f'parentCID={NO_PARENT:08x}\ncreateType="vmfs"\n\n'
        f'# Extent description\nRW {d.sectors} VMFS "{d.extent}"\n\n'
        f"# The Disk Data Base\n#DDB\n\n{rows}"
    )
