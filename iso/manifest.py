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
COMPILED = {
    "lz4": "BSD-2-Clause", "lwip": "BSD-3-Clause", "zydis": "MIT", "zycore-c": "MIT"
}  # fmt: skip
GRUB = ("grub-common", "GPL-3.0-or-later")
UNKNOWN = "NOASSERTION"
#: Names of copyright-format/1.0 whose text is that of an SPDX identifier.
SAME_NAME = {"Expat": "MIT", "zlib": "Zlib", "BSD-3-clause": "BSD-3-Clause"} | {
    name: name for name in ("MIT", "Zlib", "Apache-2.0", "CC0-1.0", "X11")
}
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


def spdx(licence: str) -> str:
    """The SPDX expression of a License field; "" where it has no single meaning."""
    out = []
    for name in licence.split(" or "):
        gnu = re.fullmatch(r"(A?GPL|LGPL|GFDL)-(\d(?:\.\d)?)(\+?)", name)
        if gnu:
            version = gnu[2] if "." in gnu[2] else f"{gnu[2]}.0"
            name = f"{gnu[1]}-{version}-{'or-later' if gnu[3] else 'only'}"
        elif name not in SAME_NAME:
            return ""
        out.append(SAME_NAME.get(name, name))
    return f"({' OR '.join(out)})" if len(out) > 1 else out[0]


def declared(text: str) -> str:
    """What a machine-readable copyright file (1.0) says of all files, Debian's own left out."""
    head, *paragraphs = re.split(r"\n(?:[ \t]*\n)+", text.strip())
    if not re.match(r"Format: *\S*copyright-format/1\.0", head):
        return UNKNOWN
    found = set()
    for paragraph in paragraphs:
        fields = email.message_from_string(paragraph)
        if fields["Files"] and fields["Files"].strip() != "debian/*":
            found.add(spdx((fields["License"] or "").split("\n")[0].strip()))
    out = " AND ".join(sorted(found))
    return UNKNOWN if "" in found or not found else out.strip("()") if len(found) == 1 else out


def copyrights(debs: Sequence[Path]) -> dict[str, str]:
    """By package: the text of its copyright file, or of the package's that it links to."""
    texts: dict[str, str] = {}
    links: dict[str, str] = {}
    for deb in debs:
        tar = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True)
        with tarfile.open(fileobj=BytesIO(tar.stdout)) as archive:
            for member in archive:
                found = re.fullmatch(r"\./usr/share/doc/([^/]+)(/copyright)?", member.name)
                if found and member.issym():
                    links[found[1]] = member.linkname.removesuffix("/copyright").split("/")[-1]
                elif found and found[2] and (stream := archive.extractfile(member)):
                    texts[found[1]] = stream.read().decode("utf-8", "replace")
    return {n: texts.get(links.get(n, n), "") for n in {*texts, *links}}


def wheel_licence(wheel: Path) -> tuple[str, str]:
    """SPDX expression or NOASSERTION; what the metadata says."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        data = email.message_from_bytes(archive.read(name))
    told = data["License-Expression"] or (data["License"] or "").split("\n")[0]
    classes = [c.rpartition(":: ")[2] for c in data.get_all("Classifier", []) if "License" in c]
    told = told or ("MIT" if classes == ["MIT License"] else ", ".join(classes))
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
    texts = copyrights(sorted(debs.glob("*.deb")))
    for d in pins.debian:
        text = texts.get(d.package, "")
        names = sorted(set(re.findall(r"^License: *(\S[^\n]*)", text, re.M)))
        told = ", ".join(names) if "copyright-format/1.0" in text else "free text"
        rows.append(part(d.package, d.version, "Debian", declared(text), d.sha256, told))
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
