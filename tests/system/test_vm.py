# SPDX-License-Identifier: Apache-2.0
"""Virtual machines on the real image: Debian's kernel boots, computes, reads and writes disks."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.shell.vm.devices import Device, DeviceKind
from tests.system import guests
from tests.system.machine import READY, Machine

Boot = Callable[..., Machine]
OFF = r"vm: guest: the guest switched itself off"


BACKPORTS = f"{guests.CLOUD}/bookworm-backports"  # Debian's 6.12

SECONDS, SAMPLES = 600 if "TEPUI_SOAK" in os.environ else 60, 50
#: The monotonic clock in ns, many times before and after a while: the quickest lines count.
TICKS = f"""
echo "guest: by $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
ticks() {{ for n in $(seq {SAMPLES}); do
    echo "guest: tick $(sed -n 's/^now at \\([0-9]*\\).*/\\1/p' /proc/timer_list)"; sleep 0.2
done; }}
ticks; sleep {SECONDS}; ticks
"""


def start(
    boot: Boot,
    logs: Path,
    script: str,
    *,
    disk: Path | None = None,
    cpus: int = 1,
    host_cpus: int = 1,
    memory: int = 256,
    package: str = guests.CLOUD,
) -> Machine:
    """A machine whose guest runs the script; a disk is an NVMe drive of the host's, passed on."""
    devices = (Device(DeviceKind.DISK, "vmhba0:C0:T0:L0"),) if disk else ()
    guest = guests.Guest(script, cpus=cpus, memory=memory, devices=devices, package=package)
    iso = guests.iso(logs / "guest.iso", guest)
    drive: tuple[str, ...] = ()
    if disk:
        drive = ("-drive", f"file={disk},format=raw,if=none,id=disk")
        drive += ("-device", "nvme,drive=disk,serial=guest")
    machine = boot(
        iso=iso,
        cpus=host_cpus,
        memory=memory + 768,
        options="vmimage=guest",
        threads="single",
        arguments=drive,
    )
    machine.console.expect(READY)
    return machine


@pytest.mark.parametrize("cpus", [1, 2])
def test_linux_reaches_its_shell_and_switches_off(boot: Boot, logs: Path, cpus: int) -> None:
    machine = start(boot, logs, f'test "$(nproc)" = {cpus}', cpus=cpus, host_cpus=cpus)
    machine.console.expect_all(r"guest: shell on", r"guest: passed", OFF, timeout=240)


@pytest.mark.soak
@pytest.mark.parametrize("package", [guests.CLOUD, BACKPORTS])
@pytest.mark.parametrize(("cpus", "memory"), [(1, 128), (2, 8192), (4, 1024), (8, 512)])
def test_linux_of_any_size(boot: Boot, logs: Path, package: str, cpus: int, memory: int) -> None:
    """More virtual processors than there are; all of them are there, and none was ever stuck."""
    script = f'test "$(nproc)" = {cpus} || exit 1\n! dmesg | grep -i "detected stalls\\|lockup"'
    machine = start(boot, logs, script, cpus=cpus, host_cpus=2, memory=memory, package=package)
    machine.console.expect_all(r"guest: passed", OFF, timeout=1200)


def test_time_passes_in_the_guest(boot: Boot, logs: Path) -> None:
    """Sleeping three seconds takes three, by the guest's own clocks."""
    script = "a=$(cut -d. -f1 /proc/uptime); sleep 3; b=$(cut -d. -f1 /proc/uptime)\n"
    script += "grep . /sys/devices/system/clocksource/clocksource0/current_clocksource\n"
    machine = start(boot, logs, script + "test $((b - a)) -ge 3 -a $((b - a)) -le 4")
    machine.console.expect(r"guest: passed", 240)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_clocks_of_guests_do_not_drift(boot: Boot, logs: Path) -> None:
    """By the time of the log's lines, which come some time after the guest has printed them."""
    clocks = {"kvm": "kvm-clock", "pm": "acpi_pm"}
    iso = guests.iso(
        logs / "guests.iso",
        *(guests.Guest(TICKS, n, memory=128, append=f"clocksource={c}") for n, c in clocks.items()),
    )
    machine = boot(iso=iso, cpus=2, memory=768, options="vmimage=kvm,pm", threads="single")
    console = machine.console
    console.expect(READY)
    console.expect_all(*(rf"{name}\| guest: passed" for name in clocks), timeout=SECONDS + 300)
    for name, clock in clocks.items():
        assert f"{name}| guest: by {clock}" in console.transcript
        line = re.compile(rf"(\d+)\.(\d{{6}}) cpu.*{name}\| guest: tick (\d+)")
        found = line.finditer(console.transcript)
        late = [int(m[1] + m[2]) - int(m[3]) / 1000 for m in found]
        assert len(late) == 2 * SAMPLES
        ppm = (min(late[SAMPLES:]) - min(late[:SAMPLES])) / SECONDS
        print(f"{clock}: {ppm:.1f} ppm")
        assert abs(ppm) < 50, clock


def test_a_disk_keeps_what_the_guest_wrote(boot: Boot, logs: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(16 << 20))
    script = """
dd if=/dev/urandom of=/data bs=64k count=64 2>/dev/null
dd if=/data of=/dev/vda bs=64k seek=16 2>/dev/null && sync
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/vda of=/back bs=64k skip=16 count=64 2>/dev/null
echo "guest: sum $(md5sum </data | cut -c1-32)"
cmp /data /back
"""
    machine = start(boot, logs, script, disk=disk)
    total = machine.console.expect(r"guest: sum (\w{32})", 240)[1]
    machine.console.expect_all(r"guest: passed", OFF)
    with disk.open("rb") as stream:
        stream.seek(1 << 20)
        assert hashlib.md5(stream.read(4 << 20)).hexdigest() == total


def test_a_guest_that_crashes_ends_alone(boot: Boot, logs: Path) -> None:
    """A panic with panic=-1 resets: the VM ends in its state, the vmkernel goes on."""
    machine = start(boot, logs, "echo c >/proc/sysrq-trigger")
    machine.console.expect(r"vm: guest: the guest (wrote|reset)", 240)
