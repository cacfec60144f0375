# SPDX-License-Identifier: Apache-2.0
"""Other kernels as guests: the vmkernel itself, memtest86+."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.iso import image
from tepui.shell.vm import image as vm_image
from tepui.shell.vm.memory import MIB
from tepui.shell.vm.spec import VmSpec
from tests.system import guests
from tests.system.machine import READY, Machine

Boot = Callable[..., Machine]


def start(boot: Boot, logs: Path, spec: VmSpec, **config: object) -> Machine:
    """A machine that starts one guest; its console's lines begin with `guest| `."""
    logs.mkdir(parents=True, exist_ok=True)
    module, iso = logs / "guest.vm", logs / "guest.iso"
    module.write_bytes(vm_image.build(spec))
    image.build(iso, guests.KERNEL, {"guest": module})
    options = {"cpus": 1, "memory": spec.memory // MIB + 512, "threads": "single"} | config
    machine = boot(iso=iso, options="vmimage=guest", **options)
    machine.console.expect(READY)
    return machine


@pytest.mark.parametrize(
    ("vcpus", "mib"), [(2, 128), (8, 512), pytest.param(4, 8192, marks=pytest.mark.soak)]
)
def test_the_vmkernel_as_a_guest(boot: Boot, logs: Path, vcpus: int, mib: int) -> None:
    """By Multiboot 2, with more virtual processors than there are."""
    spec = VmSpec("guest", vcpus, mib * MIB, kernel=guests.KERNEL)
    machine = start(boot, logs, spec, cpus=2)
    found = machine.console.expect(rf"guest\| .*{READY}", 120)
    assert int(found["cpus"]) == vcpus
    assert mib - 2 < int(found["mib"]) <= mib
    machine.console.expect(r"guest\| .*no hardware virtualization", 30)


@pytest.mark.soak
def test_memtest86_tests_memory(boot: Boot, logs: Path) -> None:
    """Its screen as it draws it on the serial line: ten tests without an error; the last one only
    waits for memory to fade."""
    kernel = guests.unpacked("memtest86+") / "boot/memtest86+x64.bin"
    spec = VmSpec("guest", 1, 16 * MIB, kernel=kernel, append="console=ttyS0,115200")
    console = start(boot, logs, spec).console
    console.expect(r"Memtest86\+", 60)
    console.expect(r"#10 \[Bit fade", 600)
    console.expect(r"Errors: +0", 60)
    assert not re.search(r"Errors: +[1-9]", console.transcript)
