# SPDX-License-Identifier: Apache-2.0
"""What the kernel costs a program, beside Debian's kernel on the same QEMU with the same files."""

import shutil
import subprocess
from pathlib import Path

from tests.bench.steady import steady
from tests.system import beside
from tests.system.machine import ROOT, Config

PROGRAM = ROOT / "tests/bench/ubench.c"
TCP = ROOT / "tests/bench/tcp.py"
SCRIPT = """exec </dev/ttyS0 >/dev/ttyS0 2>&1
/beside/ubench && python3 /beside/tcp.py && echo "bench: done"
"""
PEER = "Debian's kernel, same QEMU"
#: Neither idle time nor another CPU may enter the count.
CONFIG = Config(cpus=1, memory=1024, icount=0, threads="single", options="tsc=reliable")


def transcripts(folder: Path) -> tuple[str, str]:
    """What the programs print on the vmkernel and on Debian's kernel."""
    root = folder / "root"
    shutil.rmtree(root, ignore_errors=True)
    (root / "beside").mkdir(parents=True)
    command = ["gcc", "-std=gnu11", "-O1", "-static", "-Wall", "-o", str(root / "beside/ubench")]
    subprocess.run([*command, str(PROGRAM)], check=True)
    shutil.copyfile(TCP, root / "beside/tcp.py")
    archive = beside.archive(root, SCRIPT)
    ours = beside.tepui(archive, CONFIG)
    texts = []
    for name, config in (("tepui", ours), ("debian", beside.debian(archive, CONFIG))):
        with steady(config, folder / name) as machine:
            machine.console.expect(r"bench: done", 900)
            texts.append(machine.console.transcript)
    return texts[0], texts[1]
