# SPDX-License-Identifier: Apache-2.0
"""The symbol table that the vmkernel carries for its backtraces.

Reads `nm -n` of a linked image and writes the assembly source of section .ksyms, which the next
link pass includes; vmkernel/lib/ksym.c reads it. Layout: `ksym_count`, `ksym_base` (address of the
first function), `ksym_offsets` (ascending, from the base), `ksym_names` (offsets into
`ksym_strings`, NUL-terminated).

usage: ksyms.py NM_OUTPUT OUT.S       without NM_OUTPUT (a -): the empty table of the first pass
       ksyms.py --check NM_OUTPUT OUT.S   fails unless OUT.S is the table of this very image
"""

import sys
from collections.abc import Iterable
from pathlib import Path


def functions(nm: Iterable[str]) -> list[tuple[int, str]]:
    """(address, name) of every function, ascending; of several names at one address the first."""
    table: dict[int, str] = {}
    for line in nm:
        address, kind, name = line.split(maxsplit=2)
        if kind in "tTwW" and not name.startswith((".", "__start_", "__stop_")):
            table.setdefault(int(address, 16), name.strip())
    return sorted(table.items())


def render(table: list[tuple[int, str]]) -> str:
    """Assembly text of the table."""
    base = min((address for address, _ in table), default=0)
    # Symbols linked far below the kernel's text (a low trampoline) do not fit 32-bit offsets.
    if table and table[-1][0] - base >= 1 << 32:
        base = next(a for a, _ in table if table[-1][0] - a < 1 << 32)
        table = [(a, n) for a, n in table if a >= base]
    out = ['.section .ksyms, "a"', ".balign 8", ".globl ksym_base, ksym_count, ksym_offsets"]
    out += [".globl ksym_names, ksym_strings", f"ksym_base: .quad {base:#x}"]
    out += [f"ksym_count: .quad {len(table)}", "ksym_offsets:"]
    out += [f".long {address - base:#x}" for address, _ in table]
    out.append("ksym_names:")
    position = 0
    for _, name in table:
        out.append(f".long {position}")
        position += len(name) + 1
    out.append("ksym_strings:")
    out += [f'.asciz "{name}"' for _, name in table]
    out.append('.section .note.GNU-stack, "", @progbits')
    return "\n".join(out) + "\n"


def main(argv: list[str]) -> int:
    check = argv[:1] == ["--check"]
    source, target = argv[check:]
    lines = [] if source == "-" else Path(source).read_text().splitlines()
    text = render(functions(lines))
    if check:
        if Path(target).read_text() != text:
            print("ksyms: the symbol table moved between the last two links", file=sys.stderr)
            return 1
        return 0
    Path(target).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
