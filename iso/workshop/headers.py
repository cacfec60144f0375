# SPDX-License-Identifier: Apache-2.0
"""Headers that the build generates: assembly offsets, and the digest of the ABI text.

usage: headers.py offsets IN.s OUT.h     lines `->NAME VALUE` of a compiled asm_offsets.c
       headers.py digest ABI.txt OUT.h   SHA-256 of the text as ABI_DIGEST (32 bytes initialiser)

A file whose content would not change is left alone, so that nothing is rebuilt for it.
"""

import hashlib
import re
import sys
from pathlib import Path

MARKER = re.compile(r"->(?P<name>\w+)\s+\$?(?P<value>-?\d+)")


def write_if_changed(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def offsets(assembly: str) -> str:
    rows = [f"#define {m['name']} {m['value']}" for m in MARKER.finditer(assembly)]
    return "\n".join(["#pragma once", *rows]) + "\n"


def digest(text: bytes) -> str:
    value = hashlib.sha256(text).digest()
    return (
        "#pragma once\n"
        f"#define ABI_DIGEST {{ {', '.join(f'{byte:#04x}' for byte in value)} }}\n"
        f'#define ABI_DIGEST_TEXT "{value.hex()}"\n'
    )


def main(argv: list[str]) -> int:
    kind, source, target = argv
    if kind == "offsets":
        write_if_changed(Path(target), offsets(Path(source).read_text()))
    elif kind == "digest":
        write_if_changed(Path(target), digest(Path(source).read_bytes()))
    else:
        print(f"headers: no such kind: {kind}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
