# SPDX-License-Identifier: Apache-2.0
"""TCG with a thread a CPU loses interrupts under AMD SVM: how often does a guest hang for it, on
the vmkernel and under Debian's KVM and QEMU? Emulator, CPUs, kernel, initramfs are the same."""

import os
from pathlib import Path

import pytest

from tests.bench import kvm
from tests.system import guests
from tests.system.console import ConsoleError
from tests.system.machine import Config, Machine

BOOTS = 20 if "TEPUI_SOAK" in os.environ else 3
CPUS, MEMORY, WITHIN = 2, 256, 240
#: What QEMU starts -kernel with.
ROM = Path("/usr/share/qemu/linuxboot_dma.bin")
SCRIPT = """
guest -smp {cpus} -m {memory} -kernel {kernel} -initrd {initrd} -serial stdio \\
    -append 'console=ttyS0 quiet panic=-1'
"""


def hangs(config: Config, logs: Path) -> int:
    """Of BOOTS, those whose guest did not get to its end in time."""
    count = 0
    for number in range(BOOTS):
        with Machine(config, logs / str(number)) as machine:
            try:
                machine.console.expect(r"guest: passed", WITHIN)
            except ConsoleError as error:
                if "not within" not in str(error):
                    raise
                count += 1
    return count


@pytest.mark.soak
@pytest.mark.timeout(4 * BOOTS * WITHIN)
def test_guests_hang_no_more_often_than_under_kvm(logs: Path) -> None:
    iso = guests.iso(logs / "guest.iso", guests.Guest(":", cpus=CPUS, memory=MEMORY))
    ours = Config(cpus=CPUS, memory=1024, options="vmimage=guest", iso=iso)

    package = guests.linux()
    (kernel,) = package.glob("boot/vmlinuz-*")
    initrd = guests.initramfs(package, ":", logs / "initrd")
    script = SCRIPT.format(cpus=CPUS, memory=MEMORY, kernel=kernel.name, initrd=initrd.name)
    theirs = kvm.host(logs, script, Config(cpus=CPUS, memory=2048), kernel, initrd, ROM)

    hung = hangs(ours, logs / "tepui"), hangs(theirs, logs / "kvm")
    print(f"of {BOOTS} boots {hung[0]} hung, under KVM {hung[1]}")
    assert hung[0] <= hung[1]
