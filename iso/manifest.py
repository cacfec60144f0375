# SPDX-License-Identifier: Apache-2.0
"""The manifest: every part of the ISO with version, licence and checksum, as SPDX 2.3 in JSON.

    python -m tepui.iso.manifest --debs DIR --wheels DIR -o FILE

Licences come from the parts themselves: a wheel's metadata, a Debian package's copyright file.
Source: SPDX specification 2.3, clauses 6 and 7.
"""

import argparse
import email
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from tepui.iso.workshop import lock

#: Compiled into the vmkernel, by their Debian source package.
COMPILED = {"lwip": "BSD-3-Clause", "zydis": "MIT", "zycore-c": "MIT"}
GRUB = ("grub-common", "GPL-3.0-or-later")
UNKNOWN = "NOASSERTION"
EXPRESSION = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def part(name: str, version: str, origin: str, licence: str, sha256: str, told: str = "") -> Any:
    """One package; `told` is what the part itself says about its licence."""
    row: dict[str, Any] = {
        "SPDXID": "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{origin}-{name}"),
        "name": name,
        "versionInfo": version,
        "supplier": UNKNOWN,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": licence,
        "copyrightText": UNKNOWN,
        "comment": origin,
    }
    if sha256:
        row["checksums"] = [{"algorithm": "SHA256", "checksumValue": sha256}]
    if told:
        row["licenseComments"] = told
    return row


def deb_licences(deb: Path) -> str:
    """The licences that a package's copyright file names (machine-readable copyright 1.0)."""
    tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True)
    with tarfile.open(fileobj=BytesIO(tar.stdout)) as archive:
        for member in archive:
            if member.name.endswith("/copyright") and (stream := archive.extractfile(member)):
                text = stream.read().decode("utf-8", "replace")
                found = re.findall(r"^License: *(\S[^\n]*)", text, re.M)
                return ", ".join(sorted(set(found))) or "free text: see the package's copyright"
    return "a link to another package's copyright"


def wheel_licence(wheel: Path) -> tuple[str, str]:
    """SPDX expression or NOASSERTION; what the metadata says."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        data = email.message_from_bytes(archive.read(name))
    told = data["License-Expression"] or (data["License"] or "").split("\n")[0]
    classes = [c.rpartition(":: ")[2] for c in data.get_all("Classifier", []) if "License" in c]
    told = told or ", ".join(classes)
    return told if EXPRESSION.fullmatch(told) else UNKNOWN, told


def digests(folder: Path, pattern: str) -> dict[str, Path]:
    return {hashlib.sha256(p.read_bytes()).hexdigest(): p for p in sorted(folder.glob(pattern))}


def parts(debs: Path, wheels: Path, version: str) -> list[Any]:
    """All of them, ours first."""
    pins = lock.load()
    rows = [part("tepui", version, "this project", "Apache-2.0", "")]
    for s in pins.source:
        rows.append(
            part(s.package, s.version, "compiled in", COMPILED.get(s.package, UNKNOWN), s.sha256)
        )
    query = ["dpkg-query", "-W", "-f", "${Version}", GRUB[0]]
    grub = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    rows.append(part("grub", grub, "boot loader", GRUB[1], ""))
    found = digests(debs, "*.deb")
    for d in pins.debian:
        told = deb_licences(found[d.sha256])
        rows.append(part(d.package, d.version, "Debian", UNKNOWN, d.sha256, told))
    found = digests(wheels, "*.whl")
    for p in (p for p in pins.python if p.product):
        licence, told = wheel_licence(found[p.sha256])
        rows.append(part(p.name, p.version, "Python", licence, p.sha256, told))
    return rows


def document(rows: Sequence[Any], version: str, epoch: int) -> Any:
    ids = [row["SPDXID"] for row in rows]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    contained = [
        {"spdxElementId": ids[0], "relationshipType": "CONTAINS", "relatedSpdxElement": i}
        for i in ids[1:]
    ]
    whole = {
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": ids[0],
    }
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"tepui-{version}",
        "documentNamespace": f"urn:tepui:{version}:{digest[:32]}",
        "creationInfo": {"created": created, "creators": [f"Tool: tepui-{version}"]},
        "packages": rows,
        "relationships": [whole, *contained],
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tepui.iso.manifest")
    parser.add_argument("--debs", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args(argv)
    version = Path("VERSION").read_text().strip()
    rows = parts(args.debs, args.wheels, version)
    made = document(rows, version, int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
    args.output.write_text(json.dumps(made, indent=1) + "\n")
    print(f"  {len(rows)} parts: {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
