# SPDX-License-Identifier: Apache-2.0
"""ACPI tables: QEMU's, Bochs's and hand-made ones read as meant, other bytes do no harm."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit import cunit

PARSERS = ("madt", "srat", "mcfg", "hpet", "fadt", "dsdt")


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "acpi", ["vmkernel/acpi/parse.c", "vmkernel/acpi/topology.c"], ["acpi/parse.h"]
    )


def table(signature: bytes, body: bytes, revision: int = 3) -> bytes:
    """A table with its header (ACPI 6.4, 5.2.6) and a right checksum."""
    head = struct.pack("<4sIBB6s8sIII", signature, 36 + len(body), revision, 0, b"", b"", 0, 0, 0)
    whole = bytearray(head + body)
    whole[9] = -sum(whole) & 0xFF
    return bytes(whole)


def parse(unit: cunit.Unit, kind: str, data: bytes, info: Any = None) -> Any:
    """The parser sees exactly these bytes: one more is an address sanitizer's report."""
    info = info or unit.ffi.new("struct acpi_info *")
    memory = unit.ffi.new("uint8_t[]", data)
    getattr(unit.lib, f"acpi_parse_{kind}")(memory, len(data), info)
    return info


def real(machine: str) -> dict[str, bytes]:
    """What a machine's firmware gave, by signature."""
    text = (Path(__file__).parent / f"tables/{machine}.hex").read_text()
    found = [bytes.fromhex(t) for t in text.split("\n", 1)[1].split("\n\n") if t.strip()]
    return {t[:4].decode(): t for t in found}


def lapic(apic: int, flags: int = 1) -> bytes:
    return struct.pack("<BBBBI", 0, 8, apic, apic, flags)


def x2apic(apic: int, flags: int = 1) -> bytes:
    return struct.pack("<BBHIII", 9, 16, 0, apic, flags, apic)


def madt(*entries: bytes, lapic_base: int = 0xFEE00000, flags: int = 1) -> bytes:
    return table(b"APIC", struct.pack("<II", lapic_base, flags) + b"".join(entries))


def test_madt(unit: cunit.Unit) -> None:
    info = parse(
        unit,
        "madt",
        madt(
            lapic(0),
            lapic(2),
            lapic(4, flags=0),
            x2apic(2),
            x2apic(0x100),
            struct.pack("<BBBBII", 1, 12, 7, 0, 0xFEC00000, 0),
            struct.pack("<BBBBIH", 2, 10, 0, 0, 2, 0),
            struct.pack("<BBBBIH", 2, 10, 0, 9, 9, 0xF),
            struct.pack("<BBHQ", 5, 12, 0, 0xFEE01000),
            b"\x7f\x05abc",
        ),
    )
    assert [info.cpu[i].apic_id for i in range(info.cpus)] == [0, 2, 0x100]
    assert (info.ioapics, info.ioapic[0].id, info.ioapic[0].base) == (1, 7, 0xFEC00000)
    assert info.lapic == 0xFEE01000
    assert info.has_8259
    timer, sci = info.isa[0], info.isa[9]
    assert (timer.valid, timer.gsi, timer.level, timer.active_low) == (True, 2, False, False)
    assert (sci.valid, sci.gsi, sci.level, sci.active_low) == (True, 9, True, True)
    assert not info.isa[1].valid


def test_more_cpus_than_there_is_room_for(unit: cunit.Unit) -> None:
    info = parse(unit, "madt", madt(*(x2apic(apic) for apic in range(400))))
    assert info.cpus == 256


def test_srat_gives_cpus_and_memory_their_nodes(unit: cunit.Unit) -> None:
    info = parse(unit, "madt", madt(lapic(0), lapic(1), x2apic(0x200)))

    def memory(domain: int, base: int, length: int, flags: int = 1) -> bytes:
        return struct.pack("<BBIHQQIIQ", 1, 40, domain, 0, base, length, 0, flags, 0)

    body = b"\1\0\0\0" + bytes(8)
    body += struct.pack("<BBBBIBBHI", 0, 16, 5, 0, 1, 0, 0, 0, 0)
    body += struct.pack("<BBBBIBBHI", 0, 16, 9, 1, 1, 0, 0, 0, 0)
    body += struct.pack("<BBHIIIII", 2, 24, 0, 9, 0x200, 1, 0, 0)
    body += memory(5, 0, 1 << 30) + memory(9, 1 << 30, 1 << 30) + memory(7, 0, 4096, flags=0)
    parse(unit, "srat", table(b"SRAT", body), info)
    assert [info.cpu[i].node for i in range(3)] == [0, 1, 1]
    assert info.nodes == 2
    found = [(a.base, a.len, a.node) for a in info.affinity[0 : info.affinities]]
    assert found == [(0, 1 << 30, 0), (1 << 30, 1 << 30, 1)]


def test_mcfg_and_hpet(unit: cunit.Unit) -> None:
    body = bytes(8) + struct.pack("<QHBBI", 0xB0000000, 0, 0, 255, 0)
    body += struct.pack("<QHBBI", 0xC0000000, 1, 9, 3, 0)  # the last bus before the first
    info = parse(unit, "mcfg", table(b"MCFG", body))
    assert info.segments == 1
    first = info.segment[0]
    assert (first.base, first.bus_first, first.bus_last) == (0xB0000000, 0, 255)
    hpet = struct.pack("<IBBBBQBHB", 0x8086A201, 0, 64, 0, 0, 0xFED00000, 0, 100, 0)
    assert parse(unit, "hpet", table(b"HPET", hpet)).hpet == 0xFED00000


def fadt(revision: int, length: int, **fields: tuple[str, int, int]) -> bytes:
    """A FADT; a field is (struct code, offset in the table, value)."""
    body = bytearray(length - 36)
    for code, offset, value in fields.values():
        struct.pack_into("<" + code, body, offset - 36, value)
    return table(b"FACP", bytes(body), revision)


def test_fadt_of_both_ages(unit: cunit.Unit) -> None:
    """QEMU's i440fx gives revision 1 (116 bytes), its q35 revision 3."""
    common = {
        "dsdt": ("I", 40, 0x7FFE0040),
        "smi": ("I", 48, 0xB2),
        "enable": ("B", 52, 0xF1),
        "control": ("I", 64, 0x604),
        "timer": ("I", 76, 0x608),
        "timer_len": ("B", 91, 4),
    }
    old = fadt(1, 116, **common)
    info = unit.ffi.new("struct acpi_info *")
    assert unit.lib.acpi_parse_fadt(unit.ffi.new("uint8_t[]", old), len(old), info) == 0x7FFE0040
    assert (info.pm1a_control, info.pm_timer, info.has_8042) == (0x604, 0x608, True)
    assert (info.smi_command, info.acpi_enable, info.reset.address) == (0xB2, 0xF1, 0)
    new = fadt(
        3,
        244,
        **common,
        flags=("I", 112, 1 << 10 | 1 << 8),
        reset_space=("B", 116, 1),
        reset=("Q", 120, 0xCF9),
        reset_value=("B", 128, 0xF),
        x_dsdt=("Q", 140, 0x123450000),
        x_control_space=("B", 172, 1),
        x_control=("Q", 176, 0x1804),
    )
    info = unit.ffi.new("struct acpi_info *")
    assert unit.lib.acpi_parse_fadt(unit.ffi.new("uint8_t[]", new), len(new), info) == 0x123450000
    assert (info.pm1a_control, info.pm_timer_32bit, info.has_8042) == (0x1804, True, False)
    assert (info.reset.space, info.reset.address, info.reset_value) == (1, 0xCF9, 0xF)


@pytest.mark.parametrize(
    ("aml", "expected"),
    [
        (b"\x08_S5_\x12\x06\x04\x00\x00\x00\x00", (True, 0, 0)),  # QEMU
        (b"\x08_S5_\x12\x08\x04\x0a\x05\x0a\x07\x00\x00", (True, 5, 7)),
        (b"\x08\\_S5_\x12\x41\x00\x02\x01\x0b\x06\x00", (True, 1, 6)),
        (b"\x5b_S5_\x12\x06\x04\x00\x00\x00\x00", (False, 0, 0)),  # no name
        (b"\x08_S5_\x12\x06\x04\x0a\x09\x00\x00", (False, 0, 0)),  # beyond three bits
        (b"\x08_S5_\x12\x06\x04\x0a", (False, 0, 0)),
    ],
)
def test_s5(unit: cunit.Unit, aml: bytes, expected: tuple[bool, int, int]) -> None:
    info = parse(unit, "dsdt", table(b"DSDT", b"\x10\x05\x00" + aml))
    if expected[0]:
        assert (info.has_s5, info.s5_type_a, info.s5_type_b) == expected
    else:
        assert not info.has_s5


def rsdp(rsdt: int, xsdt: int, revision: int = 2) -> bytes:
    data = bytearray(
        struct.pack("<8sB6sBIIQB3s", b"RSD PTR ", 0, b"", revision, rsdt, 36, xsdt, 0, b"")
    )
    data[8] = -sum(data[:20]) & 0xFF
    data[32] = -sum(data) & 0xFF
    return bytes(data)


def test_rsdp(unit: cunit.Unit) -> None:
    wide = unit.ffi.new("bool *")

    def root(data: bytes) -> tuple[int, bool]:
        memory = unit.ffi.new("uint8_t[]", data)
        return unit.lib.acpi_parse_rsdp(memory, len(data), wide), wide[0]

    assert root(rsdp(0x1000, 0x123456789)) == (0x123456789, True)
    assert root(rsdp(0x1000, 0x123456789, revision=0)) == (0x1000, False)
    assert root(rsdp(0x1000, 0x123456789)[:20]) == (0x1000, False)
    assert root(rsdp(0x1000, 0)) == (0x1000, False)
    assert root(b"X" + rsdp(0x1000, 0x2000)[1:]) == (0, False)
    assert root(rsdp(0x1000, 0x2000)[:8] + b"\xff" + rsdp(0x1000, 0x2000)[9:]) == (0, False)


@given(st.binary(max_size=80), st.integers(0, 100))
def test_a_table_has_its_length_and_checksum(unit: cunit.Unit, body: bytes, cut: int) -> None:
    whole = table(b"TEST", body)
    shown = whole[: len(whole) - cut] if cut < len(whole) else b""
    memory = unit.ffi.new("uint8_t[]", shown or b"\0")
    size = unit.lib.acpi_table_size(memory, len(shown))
    assert size == (len(whole) if cut == 0 else 0)


def test_tables_of_qemu(unit: cunit.Unit) -> None:
    tables = real("qemu-q35")
    assert all(sum(t) & 0xFF == 0 for t in tables.values())
    info = unit.ffi.new("struct acpi_info *")
    for kind, name in (("madt", "APIC"), ("srat", "SRAT"), ("mcfg", "MCFG"), ("hpet", "HPET")):
        parse(unit, kind, tables[name], info)
    assert [(c.apic_id, c.node) for c in info.cpu[0 : info.cpus]] == [(n, n) for n in range(4)]
    assert (info.ioapics, info.ioapic[0].base, info.lapic) == (1, 0xFEC00000, 0xFEE00000)
    assert info.isa[0].valid and info.isa[0].gsi == 2
    assert [n for n in range(16) if info.isa[n].valid and info.isa[n].level] == [5, 9, 10, 11]
    assert (info.segments, info.segment[0].bus_first, info.segment[0].bus_last) == (1, 0, 255)
    assert info.segment[0].base == 0xB0000000 and info.hpet == 0xFED00000
    sizes = [
        sum(a.len for a in info.affinity[0 : info.affinities] if a.node == n) for n in range(4)
    ]
    assert (info.nodes, sum(sizes)) == (4, (2 << 30) - 0x60000)  # the hole below 1 MiB
    parse(unit, "fadt", tables["FACP"], info)
    assert (info.pm1a_control, info.pm_timer, info.has_8042) == (0x604, 0x608, True)
    assert (info.reset.address, info.reset_value) == (0xCF9, 0xF)


def test_tables_of_bochs(unit: cunit.Unit) -> None:
    tables = real("bochs")
    assert all(sum(t) & 0xFF == 0 for t in tables.values())
    info = unit.ffi.new("struct acpi_info *")
    for kind, name in (("madt", "APIC"), ("hpet", "HPET"), ("fadt", "FACP")):
        parse(unit, kind, tables[name], info)
    assert [c.apic_id for c in info.cpu[0 : info.cpus]] == [0, 1]
    assert (info.ioapics, info.ioapic[0].id, info.ioapic[0].base) == (1, 2, 0xFEC00000)
    assert (info.hpet, info.pm1a_control, info.pm_timer) == (0xFED00000, 0xB004, 0xB008)
    assert (info.smi_command, info.acpi_enable, info.reset.address) == (0xB2, 0xF1, 0)


entry = st.builds(
    lambda kind, length, rest: bytes([kind, length]) + rest,
    st.integers(0, 12),
    st.integers(0, 60),
    st.binary(max_size=60),
)


def damage(data: bytes, cut: int, changes: list[tuple[int, int]], mend: bool) -> bytes:
    """A table cut and changed; mended: with its new length and a right checksum."""
    out = bytearray(data[: max(36, len(data) - cut)])
    for at, value in changes:
        out[at % len(out)] = value
    if mend:
        struct.pack_into("<I", out, 4, len(out))
        out[9] = (out[9] - sum(out)) & 0xFF
    return bytes(out)


damaged = st.builds(
    damage,
    st.sampled_from([t for machine in ("qemu-q35", "bochs") for t in real(machine).values()]),
    st.integers(0, 330),
    st.lists(st.tuples(st.integers(0, 351), st.integers(0, 255)), max_size=6),
    st.booleans(),
)
hostile = st.one_of(
    damaged,
    st.binary(max_size=300),
    st.builds(lambda body: table(b"HOST", body, revision=6), st.binary(max_size=300)),
    st.builds(
        lambda parts: table(b"APIC", bytes(8) + b"".join(parts)), st.lists(entry, max_size=20)
    ),
    st.builds(
        lambda parts: table(b"SRAT", bytes(12) + b"".join(parts)), st.lists(entry, max_size=20)
    ),
    st.builds(
        lambda a, b: table(b"DSDT", a + b"\x08_S5_\x12" + b),
        st.binary(max_size=9),
        st.binary(max_size=9),
    ),
)


@pytest.mark.parametrize("kind", PARSERS)
@settings(max_examples=1700)  # 10,200 in all
@given(data=hostile)
def test_any_bytes_do_no_harm(unit: cunit.Unit, kind: str, data: bytes) -> None:
    data = data.ljust(36, b"\0")
    info = parse(unit, kind, data)
    limits: dict[str, Callable[[], int]] = {
        "cpus": lambda: len(info.cpu),
        "ioapics": lambda: len(info.ioapic),
        "segments": lambda: len(info.segment),
        "affinities": lambda: len(info.affinity),
        "domains": lambda: len(info.domain),
    }
    for name, limit in limits.items():
        assert getattr(info, name) <= limit()
    assert info.s5_type_a <= 7
    assert info.s5_type_b <= 7
