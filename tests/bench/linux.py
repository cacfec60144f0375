# SPDX-License-Identifier: Apache-2.0
"""A Linux guest: the host's share of its time, and the memory that a VM takes beside its own."""

import re
import subprocess
from pathlib import Path

from tests.system import guests
from tests.system.machine import READY, ROOT, Config, Machine
from tests.system.shell import Shell

PROGRAM = ROOT / "tests/bench/spin.c"
MEMORY = 512
VMX = """\
displayName = "{name}"
memsize = "{memory}"
tepui.kernel = "vmlinuz"
tepui.initrd = "initrd"
tepui.append = "console=ttyS0 quiet"
ethernet0.present = "TRUE"
"""


def spun(config: Config, logs: Path) -> int:
    """Instructions that went by while the program ran."""
    with Machine(config, logs) as machine:
        return int(machine.console.expect(r"bench: spin (\d+) ", 900)[1])


def host_share(folder: Path) -> float:
    """Millionths of a busy guest's time, its timer running, that a host costs it."""
    tree, script = folder / "spin", "spin"
    (tree / "usr/bin").mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-O1", "-static", "-Wall", "-o", str(tree / "usr/bin/spin"), str(PROGRAM)]
    subprocess.run(command, check=True)
    iso = guests.iso(folder / "spin.iso", guests.Guest(script, trees=(tree,)))
    options = "vmimage=guest tsc=reliable"
    config = Config(cpus=1, memory=1024, icount=0, options=options, iso=iso)
    ours = spun(config, folder / "spin-tepui")

    (kernel,) = guests.linux().glob("boot/vmlinuz-*")
    initrd = guests.initramfs(guests.linux(), script, folder / "spin.cpio", trees=(tree,))
    append = "console=ttyS0 quiet panic=-1 tsc=reliable"
    arguments = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", append)
    config = Config(cpus=1, memory=1024, icount=0, boot="none", arguments=arguments)
    alone = spun(config, folder / "spin-alone")
    return 1e6 * (ours - alone) / ours


def overheads(folder: Path) -> list[int]:
    """Bytes beside their own memory that the first and the second VM take from the host's free
    memory, hostd's growth included."""
    files = {n: VMX.format(name=n, memory=MEMORY).encode() for n in ("first", "second")}
    vmx = {f"{name}.vmx": text for name, text in files.items()}
    iso = guests.host_iso(folder / "overhead.iso", vmx, "sleep 10000")
    config = Config(cpus=2, memory=2 * MEMORY + 1024, threads="single", iso=iso)
    with Machine(config, folder / "overhead") as machine:
        machine.console.expect(READY, 120)
        shell = Shell(machine, booted=True)

        def free() -> int:
            found = re.search(r"(\d+)", shell.run("grep MemFree /proc/meminfo")[1])
            assert found
            return int(found[1]) << 10

        out = []
        for name in files:
            rc, text = shell.run(f"esxcli vm register /guest/{name}.vmx")
            assert rc == 0, text
            before = free()
            rc, text = shell.run(f"esxcli vm power on {name}")
            assert rc == 0, text
            out.append(before - free() - (MEMORY << 20))
    return out
