# SPDX-License-Identifier: Apache-2.0
"""A Linux guest: the host's share of its time, and the memory that a VM takes beside its own."""

import subprocess
from itertools import pairwise
from pathlib import Path

from tests.bench.steady import steady
from tests.system import guests
from tests.system.machine import ROOT, Config

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
#: The host's first process: it goes on as init, and beside it measures. Nobody types: when a line
#: arrives would decide what memory is taken. `free` is what is left when it has not changed by more
#: than 8 KiB for some seconds: what was started has ended or is idle, hostd too.
MEASURE = """\
#!/bin/sh
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
measure() {{
    free
    for vm in {names}; do esxcli vm register /guest/$vm.vmx || exit; done
    free
    for vm in {names}; do
        esxcli vm power on $vm || exit
        free
    done
}}
measure </dev/null >/dev/ttyS0 2>&1 &
exec /sbin/init
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
    options = "init=/guest/measure tsc=reliable watchdog=0"
    config = Config(cpus=1, memory=2 * MEMORY + 1024, icount=0, options=options, iso=iso)
    with steady(config, folder / "overhead") as machine:
        seen = [machine.console.expect(r"\bfree (\d+)\r?\n", 600) for _ in range(2 + len(NAMES))]
    free = [int(found[1]) << 10 for found in seen[1:]]
    return [before - after - (MEMORY << 20) for before, after in pairwise(free)]
