# SPDX-License-Identifier: Apache-2.0
"""The vmkernel boots everywhere, and tells the truth when it cannot go on."""

import re
import signal
import time
from collections.abc import Callable

import pytest

from tests.bench import run as bench
from tests.system.bochs import Bochs
from tests.system.machine import READY, TEST_ISO, Firmware, Machine
from tests.system.shell import Shell

Boot = Callable[..., Machine]
PANIC_FILE = "/var/core/vmkernel-panic.txt"


@pytest.mark.smoke
def test_smoke(boot: Boot) -> None:
    """What every landing has to show: two CPUs come up on BIOS."""
    ready = boot(cpus=2).console.expect(READY)
    assert int(ready["cpus"]) == 2
    assert 500 <= int(ready["mib"]) <= 512


@pytest.mark.parametrize("firmware", list(Firmware))
@pytest.mark.parametrize("cpus", [1, 8])
def test_firmware_and_cpus(boot: Boot, firmware: Firmware, cpus: int) -> None:
    ready = boot(cpus=cpus, firmware=firmware).console.expect(READY, 120)
    assert int(ready["cpus"]) == cpus


@pytest.mark.slow
def test_64_cpus(boot: Boot) -> None:
    ready = boot(cpus=64, memory=1024).console.expect(READY, 240)
    assert int(ready["cpus"]) == 64


@pytest.mark.parametrize("memory", [256, 3072, 65536])
def test_memory_sizes(boot: Boot, memory: int) -> None:
    """All of memory is used but what firmware keeps: under 16 MiB."""
    ready = boot(memory=memory).console.expect(READY, 120)
    assert memory - 16 <= int(ready["mib"]) <= memory


def test_four_numa_nodes(boot: Boot) -> None:
    machine = boot(cpus=4, nodes=4, memory=2048)
    ready = machine.console.expect(READY, 120)
    assert int(ready["cpus"]) == 4
    assert "4 nodes" in machine.console.transcript


def test_the_stick_boots_too(boot: Boot) -> None:
    boot(boot="usb").console.expect(READY, 120)


def test_image_and_memory_after_boot_stay_small(boot: Boot) -> None:
    """Below 4 MiB of image; 16 MiB, 2 MiB a CPU and 0.4% of memory (the frame table) in use."""
    assert bench.image_figures()[0].value < 4 * 2**20
    console = boot(iso=TEST_ISO, cpus=4, memory=2048, options="bench=ground init=none").console
    used = int(console.expect(r"bench: mm\.used (\d+) bytes", 120)[1])
    assert used < (16 + 4 * 2 + 2048 * 0.004) * 2**20


@pytest.mark.parametrize(
    ("case", "cpus", "reason"),
    [
        ("pagefault", 2, r"#PF page fault"),
        ("stackoverflow", 2, r"stack overflow|#DF double fault"),
        ("doublefault", 2, r"#DF double fault"),
        ("hang", 2, r"interrupts off"),  # a neighbour's NMI
        ("hang", 1, r"interrupts off"),  # the HPET's
        ("relock", 1, r"lock again taken twice"),
    ],
)
def test_panics_show_the_purple_screen(boot: Boot, case: str, cpus: int, reason: str) -> None:
    console = boot(iso=TEST_ISO, cpus=cpus, options=f"panictest={case}").console
    console.expect(rf"^PANIC: .*({reason})", 120, panic=True)
    console.expect(r"^Backtrace for cpu\d+:\n +\[[0-9a-f]{16}\] [\w.]+\+0x", 30, panic=True)
    console.expect(r"^build [0-9a-f]{40}", 30, panic=True)


def test_one_cpu_that_stood_still_is_not_stuck(boot: Boot) -> None:
    """Its watchdog's NMIs come late and close together; a button's NMI is told from them."""
    machine = boot(memory=1024, reboot=True)
    shell = Shell(machine)
    assert machine.process
    for pause in (1.3, 1.7, 1.9, 0.8, 1.5):
        machine.process.send_signal(signal.SIGSTOP)
        time.sleep(pause)  # how long the machine stands still: the input, not a wait
        machine.process.send_signal(signal.SIGCONT)
        assert shell.run("sleep 2") == (0, "")
    machine.qmp.execute("inject-nmi")
    machine.console.expect(r"^PANIC: NMI that nobody expected", 60, panic=True)


def test_a_panic_leaves_a_record(boot: Boot) -> None:
    """In memory, over a warm reset; then in a file, and told at login until that is taken away."""
    machine = boot(memory=1024, options="panicreboot=1", reboot=True)
    assert Shell(machine).run("echo what the log said last >/dev/kmsg")[0] == 0
    machine.qmp.execute("inject-nmi")
    machine.console.expect(r"^PANIC: NMI that nobody expected", 60, panic=True)
    shell = Shell(machine)
    assert shell.run(f"until [ -e {PANIC_FILE} ]; do sleep 1; done") == (0, "")
    told = shell.run("sh -l -c :")
    assert told[0] == 0 and told[1].startswith("The host panicked: NMI that nobody expected"), told
    # The console's reader takes a line that begins so for a panic of now.
    text = shell.run(f"sed s/^PANIC/panic/ {PANIC_FILE}")[1]
    for pattern in (
        r"^Tepui \S+ \[vmkernel, x86_64\]",
        r"^panic: NMI that nobody expected",
        r"^RIP [0-9a-f]{16}",
        r"^Backtrace for cpu0:\n +\[[0-9a-f]{16}\] \S+\+0",  # "?+0": it came in ring 3
        r"^build [0-9a-f]{40}",
        r"^\d{4}-\d\d-\d\dT\S+ \S+ vmkernel: cpu0:\d+\)\w+: .*what the log said last *$",
    ):
        assert re.search(pattern, text, re.MULTILINE), (pattern, text)
    assert shell.run(f"rm {PANIC_FILE}; sh -l -c :") == (0, "")
    # It was taken from memory too: the next boot finds nothing.
    machine.qmp.execute("system_reset")
    shell = Shell(machine)
    assert shell.run("dmesg | grep -c 'ended in a panic'") == (1, "0\n")


def test_boots_in_bochs(bochs: Callable[..., Bochs]) -> None:
    """x2APIC and TSC deadline, which QEMU 7.2's TCG does not have."""
    ready = bochs(cpus=2).console.expect(READY, 240)
    assert int(ready["cpus"]) == 2
