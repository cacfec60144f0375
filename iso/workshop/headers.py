# SPDX-License-Identifier: Apache-2.0
"""Headers that the build generates: assembly offsets, and the digest of the ABI text.

usage: headers.py offsets IN.s OUT.h     lines `->NAME VALUE` of a compiled asm_offsets.c
       headers.py digest ABI.txt OUT.h   SHA-256 of the text as ABI_DIGEST (32 bytes initialiser)
       headers.py syscalls IN.h OUT.h    NR_read and so on, from the __NR_ lines of asm/unistd_64.h

A file whose content would not change is left alone, so that nothing is rebuilt for it.
"""

import hashlib
import re
import sys
from pathlib import Path

MARKER = re.compile(r"->(?P<name>\w+)\s+\$?(?P<value>-?\d+)")

SYSCALL = re.compile(r"^#define __NR_(?P<name>\w+) (?P<number>\d+)$", re.MULTILINE)


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


def syscalls(source: str) -> str:
    """Enumerators of Linux's numbers, and the list as SYSCALL_NUMBERS(X) for tables of names."""
    rows = [(m["name"], m["number"]) for m in SYSCALL.finditer(source)]
    if not rows:
        raise ValueError("no system call in the header")
    return "\n".join(
        [
            "#pragma once",
            "enum {",
            *(f"\tNR_{name} = {number}," for name, number in rows),
            "};",
            " \\\n\t".join(["#define SYSCALL_NUMBERS(X)", *(f"X({n}, {nr})" for n, nr in rows)]),
            "",
        ]
    )


def main(argv: list[str]) -> int:
    kind, source, target = argv
    if kind == "offsets":
        write_if_changed(Path(target), offsets(Path(source).read_text()))
    elif kind == "digest":
        write_if_changed(Path(target), digest(Path(source).read_bytes()))
    elif kind == "syscalls":
        write_if_changed(Path(target), syscalls(Path(source).read_text()))
    else:
        print(f"headers: no such kind: {kind}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
