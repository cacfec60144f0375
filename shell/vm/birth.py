# SPDX-License-Identifier: Apache-2.0
"""A VM's birth: kernel, tables and parameters into its memory, registers into its processor.

`prepare` needs only something to write memory with, so it serves the host (through a mapping of
the VM's memory object) and a workstation (into a boot module) alike.
"""

from tepui.shell import abi
from tepui.shell.vm import acpi, cpu, elf, linux, smbios
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import HIGH_BASE, Memory, low_size
from tepui.shell.vm.spec import VmSpec

EBDA = 0x9FC00
ROM_END = 0x100000


def e820(size: int) -> list[tuple[int, int, int]]:
    """(base, size, type) of a guest with `size` bytes: PC holes, ECAM reserved."""
    low, board = low_size(size), abi.lib()
    rows = [
        (0, EBDA, linux.RAM),
        (EBDA, ROM_END - EBDA, linux.RESERVED),
        (ROM_END, low - ROM_END, linux.RAM),
        (board.VM_ECAM, board.VM_ECAM_SIZE, linux.RESERVED),
    ]
    if size > low:
        rows.append((HIGH_BASE, size - low, linux.RAM))
    return rows


def prepare(spec: VmSpec, memory: Memory) -> cpu.State:
    """Writes what the guest needs at its first instruction; returns the first vCPU's registers.

    VmError when there is nothing to boot or it does not fit."""
    if spec.kernel is None:
        raise VmError(f"{spec.name}: no kernel; booting firmware is not in this version")
    try:
        image = spec.kernel.read_bytes()
        initrd = spec.initrd.read_bytes() if spec.initrd else b""
    except OSError as error:
        raise VmError(f"{spec.name}: {error.filename}: {error.strerror}") from None
    tables = acpi.build(spec.cpus)
    memory.write(acpi.BASE, tables)
    memory.write(smbios.BASE, smbios.build(spec))
    name = spec.initrd.name if spec.initrd else ""
    kernel = linux.Kernel(image, initrd, spec.append, name)
    if elf.is_elf(image):
        return elf.load(kernel, memory, e820(spec.memory), acpi.BASE, tables)
    return linux.load(kernel, memory, e820(spec.memory), acpi.BASE)
