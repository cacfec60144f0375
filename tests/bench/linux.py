# SPDX-License-Identifier: Apache-2.0
"""A Linux guest: the host's share of its time, and the memory that a VM takes beside its own."""

import re
import subprocess
from itertools import pairwise
from pathlib import Path

from tests.bench.steady import steady
from tests.system import guests
from tests.system.machine import READY, ROOT, Config
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
NAMES = ("first", "second")
#: Runs on the host, so that nobody's typing decides when memory is read: `free` is what is left
#: when it has not changed by more than 8 KiB for some seconds: commands have ended, hostd is idle.
MEASURE = """\
free() {{
    same=0 last=0
    while [ $same -lt 5 ]; do
        sleep 1
        while read name kib unit; do [ $name = MemFree: ] && now=$kib; done </proc/meminfo
        moved=$((now - last))
        [ ${{moved#-}} -le 8 ] && same=$((same + 1)) || same=0
        last=$now
    done
    echo "free $now"
}}
for vm in {names}; do esxcli vm register /guest/$vm.vmx || exit; done
free
for vm in {names}; do
    esxcli vm power on $vm || exit
    free
done
"""


def spun(config: Config, logs: Path) -> int:
    """Instructions that went by while the program ran."""
    with steady(config, logs) as machine:
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
    vmx = {f"{n}.vmx": VMX.format(name=n, memory=MEMORY).encode() for n in NAMES}
    files = {**vmx, "measure": MEASURE.format(names=" ".join(NAMES)).encode()}
    iso = guests.host_iso(folder / "overhead.iso", files, "sleep 10000")
    config = Config(
        cpus=1, memory=2 * MEMORY + 1024, icount=0, options="tsc=reliable watchdog=0", iso=iso
    )
    with steady(config, folder / "overhead") as machine:
        machine.console.expect(READY, 120)
        shell = Shell(machine, booted=True)
        rc, text = shell.run("sh /guest/measure", 900)
        assert rc == 0, text
    free = [int(kib) << 10 for kib in re.findall(r"free (\d+)", text)]
    assert len(free) == 1 + len(NAMES), text
    return [before - after - (MEMORY << 20) for before, after in pairwise(free)]
