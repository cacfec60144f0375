# SPDX-License-Identifier: Apache-2.0
"""The small guests of tests/guest/: bad neighbours, and one that must not notice them."""

import os
from collections.abc import Callable
from pathlib import Path

from tepui.iso import image
from tepui.shell.vm import image as vm_image
from tepui.shell.vm.devices import Device, DeviceKind
from tepui.shell.vm.memory import MIB
from tepui.shell.vm.spec import Flags, VmSpec
from tests.system import guests
from tests.system.machine import READY, ROOT, Machine

Boot = Callable[..., Machine]
#: Tries a phase: a hundred times as many in `make soak`.
COUNT = 200_000 if "TEPUI_SOAK" in os.environ else 2_000
DEVICES = (
    Device(DeviceKind.DISK, "vmhba0:C0:T0:L0"),
    Device(DeviceKind.NETWORK, "VM Network"),
    Device(DeviceKind.CONSOLE),
    Device(DeviceKind.RANDOM),
)


def start(boot: Boot, logs: Path, **command_lines: str) -> Machine:
    """A machine with one small guest for each command line; the fuzzing ones get devices."""
    logs.mkdir(parents=True, exist_ok=True)
    modules = {}
    for name, line in command_lines.items():
        spec = VmSpec(
            name,
            memory=64 * MIB,
            flags=Flags.KVM_LEAVES | Flags.DEBUG_EXIT,
            kernel=ROOT / "build/testguest.elf",
            append=line,
            devices=DEVICES if line.startswith("fuzz") else (),
        )
        modules[name] = logs / name
        modules[name].write_bytes(vm_image.build(spec))
    iso = logs / "guests.iso"
    image.build(iso, guests.KERNEL, modules)
    disk = "driver=null-co,size=64M,read-zeroes=on,if=none,id=disk"
    machine = boot(
        iso=iso,
        memory=1024,
        options=f"vmimage={','.join(command_lines)}",
        threads="single",
        arguments=("-drive", disk, "-device", "nvme,drive=disk,serial=guest"),
    )
    machine.console.expect(READY)
    return machine


def test_a_guest_that_tries_everything_hurts_nobody(boot: Boot, logs: Path) -> None:
    """Random ports, device memory, registers, hypercalls, configuration and rings."""
    fuzz = f"fuzz seed=1 count={COUNT}"
    console = start(boot, logs, victim="victim", fuzzer=fuzz).console
    console.expect(r"fuzzer\| fuzz: rings again: .*", 240 + COUNT // 20)
    console.expect(r"fuzzer\| fuzz: passed", 60)
    console.expect(r"victim\| victim: round \d+", 60)
    console.expect(r"victim\| victim: round \d+", 60)
    assert "is wrong" not in console.transcript


def test_the_ends_of_guests_are_their_own(boot: Boot, logs: Path) -> None:
    """One faults within its fault, one resets, one spins; the others go on."""
    console = start(
        boot, logs, victim="victim", spinner="spin", triple="triple", again="reset"
    ).console
    console.expect(r"vm: triple: triple fault \(0\) at rip", 60)
    console.expect(r"vm: again: the guest wrote the reset register", 60)
    console.expect(r"victim\| victim: round \d+", 60)
    console.expect(r"victim\| victim: round \d+", 60)
