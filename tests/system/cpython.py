# SPDX-License-Identifier: Apache-2.0
"""CPython's own regression tests, as Debian packs them, on the vmkernel and on Debian's kernel.

    python -m tests.system.cpython [TEST...]

runs them on both, in the same QEMU with the same userworld image, and writes the table
tests/system/cpython.md: for each file how many cases passed, and each case that fails on ours or
passes on Debian's kernel only, with the reason. Rows of files that were not named stay. The system
test reads the table: what it lists may fail.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.system import beside, guests
from tests.system.console import Console
from tests.system.machine import ROOT, Config, Machine

TABLE = ROOT / "tests/system/cpython.md"
LOGS = ROOT / "build/logs/cpython"
FOLDER = ROOT / "build/cpython"
CONFIG = Config(cpus=2, memory=2048)

#: Fast enough for `make test`, and with the system calls that matter most.
FAST = (
    "test_grammar", "test_int", "test_dict", "test_struct", "test_thread", "test_posix",
    "test_poll", "test_select", "test_pty", "test_float",
)  # fmt: skip
ALL = (
    *FAST, "test_os", "test_signal", "test_fcntl", "test_epoll", "test_time", "test_list",
    "test_types", "test_re", "test_zlib", "test_mmap", "test_selectors", "test_tempfile",
    "test_shutil", "test_subprocess", "test_threading", "test_io", "test_unicode", "test_bytes",
    "test_json", "test_queue", "test_pathlib", "test_hashlib", "test_ctypes",
    "test_multiprocessing_fork", "test_tepui_sqlite3", "test_socket", "test_ssl", "test_httplib",
    "test_socketserver", "test_asyncio",
)  # fmt: skip

#: Why a case that passes on Debian's kernel does not on ours: what is missing, by case.
REASONS: dict[str, str] = {
    "test.test_ssl.TestPreHandshakeClose.test_preauth_data_to_tls_server": "a connection that its "
    "peer resets before accept() takes it, with data in its buffer; not looked into",
}


@dataclass(slots=True)
class Results:
    """Of one file on one kernel: cases by outcome."""

    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)  # case -> fail, crash or hang
    skipped: set[str] = field(default_factory=set)


def parse(text: str) -> Results:
    """From the lines that cpython_run.py writes; a case that failed once has failed."""
    out = Results()
    for line in text.splitlines():
        outcome, _, case = line.partition(" ")
        if outcome in ("fail", "crash", "hang"):
            out.failed[case] = outcome
        elif outcome == "ok":
            out.passed.add(case)
        elif outcome == "skip":
            out.skipped.add(case)
    out.passed -= out.failed.keys()
    return out


def module() -> Path:
    """The archive with the tests and what runs them."""
    root = FOLDER / "root"
    shutil.rmtree(root, ignore_errors=True)
    library = root / "usr/lib/python3.11"
    for package in ("libpython3.11-stdlib", "libpython3.11-testsuite"):
        source = guests.unpacked(package) / "usr/lib/python3.11/test"
        shutil.copytree(source, library / "test", dirs_exist_ok=True, symlinks=True)
    ctypes = guests.unpacked("libpython3.11-testsuite") / "usr/lib/python3.11/ctypes/test"
    shutil.copytree(ctypes, library / "ctypes/test")  # what test_ctypes runs
    programs = ROOT / "tests/system/programs"
    shutil.copy(programs / "test_tepui_sqlite3.py", library / "test")
    shutil.copy(programs / "cpython_run.py", library)
    compiled = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    compiled += ["-s", str(root), "-p", "/", str(library)]
    subprocess.run(compiled, check=False, capture_output=True)  # some are bad on purpose
    return beside.archive(root)


def run(console: Console, names: Iterable[str], timeout: float) -> dict[str, Results]:
    """Runs files; `timeout` in seconds for each. Tracebacks stand in the console's log."""
    out = {}
    console.expect("ready> ", 180)
    for name in names:
        console.command(f"python3 /usr/lib/python3.11/cpython_run.py /tmp/results {name}", timeout)
        out[name] = parse(console.command(f"cat /tmp/results/{name}", 120)[1])
    return out


def file_of(case: str) -> str:
    """The file that a case belongs to: test_ctypes loads its cases from another package."""
    return "test_ctypes" if case.startswith("ctypes.") else case.split(".")[1]


def table(ours: dict[str, Results], theirs: dict[str, Results], old: str) -> str:
    """The generated file; `old` is the one before, whose rows of other files it keeps."""
    rows = {m[1]: m[0] for m in re.finditer(r"^\| (test_\w+) \|.*$", old, re.M)}
    lost = {m[1]: m[0] for m in re.finditer(r"^\| (\w+\.\S+) \|.*$", old, re.M)}
    lost = {case: row for case, row in lost.items() if file_of(case) not in ours}
    lines = [
        "# CPython's regression tests: the vmkernel beside Debian's kernel",
        "",
        "Generated by `python -m tests.system.cpython`: the same packages, QEMU, memory and CPUs.",
        "A file of `cpython.ALL` that is not here has not been run on both kernels yet.",
        "",
        "| file | Debian passes | of those ours | only ours passes | skipped on ours |",
        "|---|---|---|---|---|",
    ]
    for name, result in ours.items():
        other = theirs[name]
        both, extra = len(other.passed & result.passed), len(result.passed - other.passed)
        skipped = len(result.skipped)
        rows[name] = f"| {name} | {len(other.passed)} | {both} | {extra} | {skipped} |"
        for case in sorted(other.passed - result.passed):
            outcome = result.failed.get(case, "skip")
            lost[case] = f"| {case} | {outcome} | {REASONS.get(case, 'open')} |"
        for case in sorted(result.failed.keys() - other.passed):
            lost[case] = f"| {case} | {result.failed[case]} | does not pass on Debian's either |"
    lines += [rows[name] for name in ALL if name in rows]
    lines += ["", "## Cases that do not pass on ours", ""]
    lines += ["| case | ours | reason |", "|---|---|---|"]
    lines += lost.values()
    return "\n".join(lines) + "\n"


def expected() -> tuple[dict[str, int], set[str]]:
    """From the table: cases that pass on Debian by file, and those that may fail on ours."""
    text = TABLE.read_text()
    counts = {m[1]: int(m[2]) for m in re.finditer(r"^\| (test_\w+) \| (\d+) \|", text, re.M)}
    return counts, set(re.findall(r"^\| (\w+\.\S+) \|", text, re.M))


def main(arguments: Sequence[str]) -> int:
    names = arguments or ALL
    results = []
    archive = module()
    for kernel, make in (("tepui", beside.tepui), ("debian", beside.debian)):
        config = make(archive, CONFIG)
        with Machine(config, LOGS / kernel) as machine:
            results.append(run(machine.console, names, 7200))
    TABLE.write_text(table(results[0], results[1], TABLE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
