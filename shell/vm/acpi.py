# SPDX-License-Identifier: Apache-2.0
"""A guest's ACPI tables: RSDP, XSDT, FADT, FACS, MADT, MCFG, DSDT. Addresses: enum vm_board.

Source: ACPI 6.4, chapters 5 and 6; PCI Firmware 3.2 (MCFG).
"""

from construct import Bytes, Const, Int8ul, Int16ul, Int32ul, Int64ul, Padding, Struct

from tepui.shell import abi
from tepui.shell.vm import aml

#: Where the tables go: between the EBDA and 1 MiB, where a scan finds the RSDP.
BASE = 0xE0000
END = 0xF0000

HEADER = Struct(
    "signature" / Bytes(4),
    "length" / Int32ul,
    "revision" / Int8ul,
    "checksum" / Const(0, Int8ul),
    "oem" / Const(b"TEPUI "),
    "table" / Const(b"TEPUIVM "),
    "oem_revision" / Const(1, Int32ul),
    "creator" / Const(b"TPUI"),
    "creator_revision" / Const(1, Int32ul),
)
RSDP = Struct(
    "signature" / Const(b"RSD PTR "),
    "checksum" / Const(0, Int8ul),
    "oem" / Const(b"TEPUI "),
    "revision" / Const(2, Int8ul),
    "rsdt" / Const(0, Int32ul),
    "length" / Const(36, Int32ul),
    "xsdt" / Int64ul,
    "extended_checksum" / Const(0, Int8ul),
    Padding(3),
)
GAS = Struct(
    "space" / Int8ul,  # 1: ports
    "width" / Int8ul,
    "offset" / Const(0, Int8ul),
    "access" / Int8ul,
    "address" / Int64ul,
)
#: Behind the header; what a PC without SMM, C-states and GPEs leaves 0 is padding.
FADT = Struct(
    "facs" / Int32ul,
    "dsdt" / Int32ul,
    Padding(1),
    "profile" / Const(4, Int8ul),  # enterprise server
    "sci" / Int16ul,
    Padding(8),  # SMI command, ACPI enable and disable: always in ACPI mode
    "pm1a_event" / Int32ul,
    Padding(4),
    "pm1a_control" / Int32ul,
    Padding(8),
    "pm_timer" / Int32ul,
    Padding(8),
    "pm1_event_length" / Const(4, Int8ul),
    "pm1_control_length" / Const(2, Int8ul),
    Padding(1),
    "pm_timer_length" / Const(4, Int8ul),
    Padding(4),
    "c2_latency" / Const(0xFFFF, Int16ul),
    "c3_latency" / Const(0xFFFF, Int16ul),
    Padding(8),
    "century" / Const(0x32, Int8ul),
    "boot_flags" / Int16ul,
    Padding(1),
    "flags" / Int32ul,
    "reset_register" / GAS,
    "reset_value" / Int8ul,
    "arm_boot_flags" / Const(0, Int16ul),
    "minor" / Const(0, Int8ul),
    "x_facs" / Int64ul,
    "x_dsdt" / Int64ul,
    "x_pm1a_event" / GAS,
    Padding(12),
    "x_pm1a_control" / GAS,
    Padding(24),
    "x_pm_timer" / GAS,
    Padding(24 + 24),  # GPEs; sleep control and status (hardware-reduced only)
)
FADT_REVISION = 5
BOOT_FLAGS = 1 << 0 | 1 << 2  # legacy devices; no VGA; and bit 1 clear: no 8042
#: WBINVD, fixed C1, no sleep button, 32-bit timer, reset register; the power button is fixed.
FADT_FLAGS = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 8 | 1 << 10

MADT_LAPIC = Struct(
    Const(0, Int8ul), Const(8, Int8ul), "uid" / Int8ul, "id" / Int8ul, Const(1, Int32ul)
)
MADT_IOAPIC = Struct(
    Const(1, Int8ul),
    Const(12, Int8ul),
    "id" / Int8ul,
    Padding(1),
    "address" / Int32ul,
    "base" / Int32ul,
)
MADT_OVERRIDE = Struct(
    Const(2, Int8ul),
    Const(10, Int8ul),
    Const(0, Int8ul),
    "irq" / Int8ul,
    "gsi" / Int32ul,
    "flags" / Int16ul,
)
MADT_NMI = Struct(
    Const(4, Int8ul), Const(6, Int8ul), Const(0xFF, Int8ul), Const(0, Int16ul), Const(1, Int8ul)
)
LEVEL_HIGH = 3 << 2 | 1
MCFG_BUS = Struct(
    Padding(8),
    "base" / Int64ul,
    "segment" / Const(0, Int16ul),
    "first" / Int8ul,
    "last" / Int8ul,
    Padding(4),
)


def checksummed(data: bytes, at: int, length: int | None = None) -> bytes:
    """data with the byte `at` such that its first `length` bytes (all) sum to 0."""
    total = sum(data[:length]) & 0xFF
    return data[:at] + bytes([(data[at] - total) & 0xFF]) + data[at + 1 :]


def table(signature: str, revision: int, body: bytes) -> bytes:
    header: bytes = HEADER.build(
        {"signature": signature.encode(), "length": 36 + len(body), "revision": revision}
    )
    return checksummed(header + body, 9)


def dsdt() -> bytes:
    """The PCI host bridge with its windows and interrupt routes, a serial port, and soft off."""
    board = abi.lib()
    # _PRT (ACPI 6.2.13): the slots share the lines in turn, as the vmkernel raises them (vpci.c).
    # Slot 0 is the host bridge, which has no interrupt.
    routes = [
        aml.package(
            [
                aml.integer(slot << 16 | 0xFFFF),
                aml.integer(0),
                aml.integer(0),
                aml.integer(board.VM_INTX_GSI + slot % board.VM_INTX_LINES),
            ]
        )
        for slot in range(1, board.VM_PCI_SLOTS)
    ]
    host = aml.device(
        "PCI0",
        aml.define("_HID", aml.eisa_id("PNP0A08")),
        aml.define("_CID", aml.eisa_id("PNP0A03")),
        aml.define("_BBN", aml.integer(0)),
        aml.define(
            "_CRS",
            aml.resources(
                aml.bus_numbers(0, 0),
                aml.io_port(0xCF8, 8),
                aml.port_window(0, 0xCF7),
                aml.port_window(board.VM_PCI_IO, 0xFFFF),
                aml.memory_window(board.VM_PCI_MEM, board.VM_PCI_MEM_END),
            ),
        ),
        aml.define("_PRT", aml.package(routes)),
    )
    # PCI Firmware 3.0, 4.1.2: a motherboard resource reserves the ECAM; Linux ignores it otherwise.
    motherboard = aml.device(
        "MBRD",
        aml.define("_HID", aml.eisa_id("PNP0C02")),
        aml.define("_CRS", aml.resources(aml.fixed_memory(board.VM_ECAM, board.VM_ECAM_SIZE))),
    )
    ports = [
        aml.device(
            f"COM{n}",
            aml.define("_HID", aml.eisa_id("PNP0501")),
            aml.define("_UID", aml.integer(n)),
            aml.define("_CRS", aml.resources(aml.io_port(base, 8), aml.irq(line))),
        )
        for n, base, line in ((1, 0x3F8, 4), (2, 0x2F8, 3))
    ]
    clock = aml.device(
        "RTC",
        aml.define("_HID", aml.eisa_id("PNP0B00")),
        aml.define("_CRS", aml.resources(aml.io_port(0x70, 2), aml.irq(8))),
    )
    off = aml.define(
        "\\_S5", aml.package([aml.integer(5), aml.integer(5), aml.integer(0), aml.integer(0)])
    )
    return table("DSDT", 2, aml.scope("\\_SB", host, motherboard, *ports, clock) + off)


def _port(address: int, width: int) -> dict[str, int]:
    return {"space": 1, "width": width, "access": width.bit_length() - 3, "address": address}


def fadt(facs: int, dsdt_at: int) -> bytes:
    board = abi.lib()
    body = FADT.build(
        {
            "facs": facs,
            "dsdt": dsdt_at,
            "sci": board.VM_SCI,
            "pm1a_event": board.VM_PM1_EVENT,
            "pm1a_control": board.VM_PM1_CONTROL,
            "pm_timer": board.VM_PM_TIMER,
            "boot_flags": BOOT_FLAGS,
            "flags": FADT_FLAGS,
            "reset_register": _port(board.VM_RESET_PORT, 8),
            "reset_value": board.VM_RESET_VALUE,
            "x_facs": 0,
            "x_dsdt": dsdt_at,
            "x_pm1a_event": _port(board.VM_PM1_EVENT, 32),
            "x_pm1a_control": _port(board.VM_PM1_CONTROL, 16),
            "x_pm_timer": _port(board.VM_PM_TIMER, 32),
        }
    )
    return table("FACP", FADT_REVISION, body)


def madt(cpus: int) -> bytes:
    board = abi.lib()
    body = Int32ul.build(board.VM_LAPIC) + Int32ul.build(1)  # there is a PIC pair too
    body += b"".join(MADT_LAPIC.build({"uid": n, "id": n}) for n in range(cpus))
    body += MADT_IOAPIC.build({"id": 0, "address": board.VM_IOAPIC, "base": 0})
    body += MADT_OVERRIDE.build({"irq": 0, "gsi": 2, "flags": 0})
    body += MADT_OVERRIDE.build({"irq": board.VM_SCI, "gsi": board.VM_SCI, "flags": LEVEL_HIGH})
    return table("APIC", 4, body + MADT_NMI.build({}))


def mcfg() -> bytes:
    bus = MCFG_BUS.build({"base": abi.lib().VM_ECAM, "first": 0, "last": 0})
    return table("MCFG", 1, bus)


def build(cpus: int, base: int = BASE) -> bytes:
    """All tables as one piece of memory for `base`, the RSDP first."""
    out = bytearray(64)  # the RSDP's place

    def place(data: bytes, align: int = 64) -> int:
        out.extend(bytes(-len(out) % align))
        out.extend(data)
        return base + len(out) - len(data)

    facs = place(b"FACS" + Int32ul.build(64) + bytes(24) + bytes([2]) + bytes(31))
    dsdt_at = place(dsdt())
    tables = [place(part) for part in (fadt(facs, dsdt_at), madt(cpus), mcfg())]
    xsdt = place(table("XSDT", 1, b"".join(Int64ul.build(at) for at in tables)))
    rsdp = checksummed(RSDP.build({"xsdt": xsdt}), 8, 20)
    out[: len(rsdp)] = checksummed(rsdp, 32)
    return bytes(out)
