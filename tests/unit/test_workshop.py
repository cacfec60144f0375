# SPDX-License-Identifier: Apache-2.0
"""The build's helpers: lock file, symbol table, generated headers, and the tepui command."""

import hashlib
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tepui.iso.workshop import headers, ksyms, lines, lock

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789+-.", min_size=1)
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
LOCKS = st.builds(
    lock.Lock,
    st.lists(st.builds(lock.PythonPin, NAMES, NAMES, DIGESTS, st.booleans())).map(tuple),
    st.lists(st.builds(lock.SourcePin, NAMES, NAMES, DIGESTS, NAMES)).map(tuple),
    st.lists(st.builds(lock.DebianPin, NAMES, NAMES, DIGESTS)).map(tuple),
)


@given(LOCKS)
def test_a_lock_reads_back_as_written(pins: lock.Lock) -> None:
    path = Path("build/gen/test.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lock.dump(pins))
    assert lock.load(path) == pins


def test_symbols_are_functions_in_order_of_address() -> None:
    nm = ["ffffffff80000010 t second", "ffffffff80000000 T first", "ffffffff80000000 T alias"]
    nm += ["ffffffff80001000 D data", "ffffffff80000020 W third"]
    table = ksyms.functions(nm)
    assert [name for _, name in table] == ["first", "second", "third"]
    text = ksyms.render(table)
    assert "ksym_base: .quad 0xffffffff80000000" in text
    assert "ksym_count: .quad 3" in text


def test_offsets_come_from_marker_lines() -> None:
    assembly = '\t.ascii "->CPU_SELF $8 offsetof(struct cpu, self)"\n.ascii "->WORLD_SP -16"\n'
    assert headers.offsets(assembly).splitlines()[1:] == [
        "#define CPU_SELF 8",
        "#define WORLD_SP -16",
    ]


def test_the_digest_is_that_of_the_text() -> None:
    assert hashlib.sha256(b"struct x;").hexdigest() in headers.digest(b"struct x;")


def test_the_command_tells_its_version() -> None:
    command = [str(Path(sys.executable).with_name("tepui")), "--version"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out == f"tepui {Path('VERSION').read_text()}"


def test_wrong_usage_exits_with_2() -> None:
    command = [str(Path(sys.executable).with_name("tepui")), "no-such-command"]
    assert subprocess.run(command, capture_output=True).returncode == 2


def test_the_ledger_has_every_line_of_the_kernel_once() -> None:
    order = lines.layers(Path("tests/unit/test_structure.py").read_text())
    files = {
        "vmkernel/lib/a.c": 1,
        "vmkernel/fs/b/c.h": 20,
        "vmkernel/new/d.S": 300,
        "vmkernel/vmkernel.ld": 4000,
        "drivers/net/e.c": 50000,
        "drivers/net/e.py": 7,
        "shell/f.py": 7,
    }
    rows = lines.ledger(order, lines.folders(files))
    numbers = [int(row[40:].split()[0].replace(",", "")) for row in rows]
    *layers, linux, proper = rows
    assert sum(numbers[:-2]) == 54321 and len(layers) == len(order) + 1
    assert layers[-1].startswith("in no layer: new vmkernel ") and "  300 + 4000" in layers[-1]
    assert linux.split()[:5] == ["Linux", "surface:", "proc", "fs", "linux"] and "20" in linux
    assert proper.split()[4] == "0"
