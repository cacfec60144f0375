# SPDX-License-Identifier: Apache-2.0
"""esxcli hardware ...: CPUs, memory, PCI devices, clock."""

from dataclasses import dataclass

from tepui.hcl import ids
from tepui.shell.client import Client
from tepui.shell.command import command
from tepui.shell.cpuid import Processor, processor
from tepui.shell.output import Style, iso_time, named
from tepui.shell.run import Context


def _processor(host: Client, cpu: int) -> Processor:
    return processor(lambda leaf, sub: host.cpuid(cpu, leaf, sub))


@dataclass(frozen=True, slots=True)
class CpuRow:
    id: int
    package_id: int
    family: int
    model: int
    type: int
    stepping: int
    brand: str
    core_speed: int
    bus_speed: int
    apic_id: int = named("APIC ID")
    node: int = named("Node")
    l2_cache_size: int = named("L2 Cache Size")
    l2_cache_associativity: int = named("L2 Cache Associativity")
    l2_cache_line_size: int = named("L2 Cache Line Size")
    l2_cache_cpu_count: int = named("L2 Cache CPU Count")
    l3_cache_size: int = named("L3 Cache Size")
    l3_cache_associativity: int = named("L3 Cache Associativity")
    l3_cache_line_size: int = named("L3 Cache Line Size")
    l3_cache_cpu_count: int = named("L3 Cache CPU Count")


@command("hardware cpu list", "List all of the CPUs on this host.", header="CPU:{Id}")
def cpu_list(ctx: Context) -> list[CpuRow]:
    hz = ctx.host.info().tsc_hz
    rows = []
    for cpu in ctx.host.cpus():
        p = _processor(ctx.host, cpu.id)
        l2, l3 = p.cache(2), p.cache(3)
        rows.append(
            CpuRow(
                cpu.id,
                cpu.apic_id // p.logical,
                p.family,
                p.model,
                p.type,
                p.stepping,
                p.vendor,
                hz,
                0,
                cpu.apic_id,
                cpu.node,
                *((l2.size, l2.ways, l2.line, l2.sharing) if l2 else (0, 0, 0, 0)),
                *((l3.size, l3.ways, l3.line, l3.sharing) if l3 else (0, 0, 0, 0)),
            )
        )
    return rows


@dataclass(frozen=True, slots=True)
class CpuGlobal:
    cpu_packages: int = named("CPU Packages")
    cpu_cores: int = named("CPU Cores")
    cpu_threads: int = named("CPU Threads")
    hyperthreading_active: bool = named("Hyperthreading Active")
    hyperthreading_supported: bool = named("Hyperthreading Supported")
    hyperthreading_enabled: bool = named("Hyperthreading Enabled")
    hv_support: int = named("HV Support")


@command("hardware cpu global get", "Get the number of packages, cores and threads.")
def cpu_global_get(ctx: Context) -> CpuGlobal:
    cpus = ctx.host.cpus()
    p = _processor(ctx.host, 0)
    packages = len({c.apic_id // p.logical for c in cpus})
    smt = p.threads > 1
    hv = 3 if ctx.host.info().hvm else 0
    return CpuGlobal(packages, max(1, len(cpus) // p.threads), len(cpus), smt, smt, smt, hv)


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    physical_memory: str
    reliable_memory: str
    numa_node_count: int = named("NUMA Node Count")


@command("hardware memory get", "Get information about memory.")
def memory_get(ctx: Context) -> MemoryInfo:
    info = ctx.host.info()
    return MemoryInfo(f"{info.memory_bytes} Bytes", "0 Bytes", info.nodes)


@dataclass(frozen=True, slots=True)
class PciRow:
    address: str
    segment: str
    bus: str
    slot: str
    function: str
    vmkernel_name: str = named("VMkernel Name")
    vendor_name: str = named("Vendor Name")
    device_name: str = named("Device Name")
    configured_owner: str = named("Configured Owner")
    current_owner: str = named("Current Owner")
    vendor_id: str = named("Vendor ID")
    device_id: str = named("Device ID")
    subvendor_id: str = named("SubVendor ID")
    subdevice_id: str = named("SubDevice ID")
    device_class: str = named("Device Class")
    device_class_name: str = named("Device Class Name")
    programming_interface: str = named("Programming Interface")
    revision_id: str = named("Revision ID")
    interrupt_line: str = named("Interrupt Line")
    pci_pin: str = named("PCI Pin")
    spawned_bus: str = named("Spawned Bus")
    module_name: str = named("Module Name")
    parent_device: str = named("Parent Device")
    passthru_capable: bool = named("Passthru Capable")
    reset_method: str = named("Reset Method")
    binding: str = named("Binding Reason")


@command("hardware pci list", "List all of the PCI devices on the host.", header="{Address}")
def pci_list(ctx: Context) -> list[PciRow]:
    names = ids.load()
    functions = ctx.host.pci()
    rows = []
    for p in functions:
        up = functions[p.parent] if p.parent >= 0 else None
        parent = f"PCI {up.segment}:{up.bus}:{up.slot}:{up.func}" if up else ""
        rows.append(
            PciRow(
                p.address,
                f"0x{p.segment:04x}",
                f"0x{p.bus:02x}",
                f"0x{p.slot:02x}",
                f"0x{p.func:x}",
                p.vmk_name,
                names.vendor(p.vendor),
                names.device(p.vendor, p.device),
                "VMkernel" if p.driver else "Unknown",
                "VMkernel" if p.driver else "Unknown",
                f"0x{p.vendor:04x}",
                f"0x{p.device:04x}",
                f"0x{p.subvendor:04x}",
                f"0x{p.subdevice:04x}",
                f"0x{p.class_code >> 8:04x}",
                names.class_name(p.class_code),
                f"0x{p.class_code & 0xFF:02x}",
                f"0x{p.revision:02x}",
                f"0x{p.irq_line:02x}",
                "ABCD"[p.irq_pin - 1] if 1 <= p.irq_pin <= 4 else "",
                f"0x{p.secondary:02x}",
                p.driver,
                parent,
                False,
                "Function reset" if p.has_flr else "None",
                p.reason,
            )
        )
    return rows


@command("hardware clock get", "Display the current hardware clock time.", style=Style.BLOCKS)
def clock_get(ctx: Context) -> str:
    return iso_time(ctx.host.info().realtime_ns)
