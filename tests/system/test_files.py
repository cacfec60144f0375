# SPDX-License-Identifier: Apache-2.0
"""Files, terminals and sockets between processes: each case of programs/files.c holds on Linux,
where it runs first, and on the vmkernel, where it is all that the first process does."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.iso import cpio, image
from tests.system import guests
from tests.system.machine import ROOT, Machine

INIT = """#!/bin/sh
echo begin
for case in $(files); do files $case; echo "$case: $?"; done
echo end
exec sleep 1000000
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "files"
    sources = [ROOT / f"tests/system/programs/{name}.c" for name in ("files", "processes")]
    command = [
        "gcc",
        "-std=gnu11",
        "-O1",
        "-static",
        "-pthread",
        "-Wall",
        "-Werror",
        "-o",
        str(path),
        *map(str, sources),
    ]
    subprocess.run(command, check=True)
    return path


@pytest.fixture(scope="module")
def cases(program: Path) -> list[str]:
    return subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()


@pytest.fixture
def files_iso(program: Path, tmp_path: Path) -> Path:
    """An ISO whose first process runs every case."""
    root = tmp_path / "root"
    for name in ("bin", "sbin", "dev", "proc", "sys", "tmp"):
        (root / name).mkdir(parents=True)
    guests.busybox(root, "sh sleep")
    shutil.copy(program, root / "bin/files")
    (root / "sbin/init").write_text(INIT)
    (root / "sbin/init").chmod(0o755)
    with (tmp_path / "userworld").open("wb") as out:
        cpio.write(root, out, 0)
    iso = tmp_path / "tepui.iso"
    image.build(iso, ROOT / "build/vmkernel.elf", {"userworld": tmp_path / "userworld"})
    return iso


def test_linux_agrees(program: Path, cases: list[str]) -> None:
    for case in cases:
        done = subprocess.run([program, case], capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, f"{case}: {done.stdout}"


def test_every_case(boot: Callable[..., Machine], files_iso: Path, cases: list[str]) -> None:
    console = boot(iso=files_iso, cpus=2).console
    console.expect("^begin", 120)
    said = console.expect(r"(?s)(.*)^end", 120 * len(cases))[1]
    lines = [line.rpartition(": ") for line in said.split("\n")]
    ends = {case: status for case, _, status in lines if case in cases}
    assert ends == dict.fromkeys(cases, "0"), said
