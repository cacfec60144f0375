# SPDX-License-Identifier: Apache-2.0
"""Descriptions of VMs, firmware tables and boot parameters."""

import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.shell import abi
from tepui.shell.vm import acpi, aml, birth, cpu, image, linux, smbios, spec
from tepui.shell.vm.devices import Device, DeviceKind
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import MIB, Segments

names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF), min_size=1, max_size=15)
texts = st.text(st.characters(max_codepoint=0x7E), max_size=30)
macs = st.binary(min_size=6, max_size=6).map(lambda m: bytes([m[0] & 0xFE]) + m[1:])
devices = st.one_of(
    st.builds(Device, st.just(DeviceKind.DISK), texts, read_only=st.booleans()),
    st.builds(Device, st.just(DeviceKind.NETWORK), texts, macs),
)


@given(
    st.builds(
        spec.VmSpec,
        names,
        cpus=st.integers(1, 64),
        memory=st.integers(2, 4096).map(lambda n: n * 2 * MIB),
        uuid=st.uuids(),
        flags=st.sampled_from((spec.Flags(0), spec.Flags.KVM_LEAVES, spec.Flags.DEBUG_EXIT)),
        sched=st.builds(
            spec.Shares, st.integers(1, 9999), st.integers(0, 800), st.integers(0, 800)
        ),
        append=texts,
    ),
    st.lists(devices, max_size=4),
)
def test_vmx_round_trip(made: spec.VmSpec, parts: list[Device]) -> None:
    disks = [d for d in parts if d.kind is DeviceKind.DISK]
    nics = [d for d in parts if d.kind is DeviceKind.NETWORK]
    fields = {name: getattr(made, name) for name in made.__slots__}
    whole = spec.VmSpec(**fields | {"devices": (*disks, *nics)})
    back = spec.parse(spec.format_vmx(whole))
    assert {**{n: getattr(back, n) for n in back.__slots__}, "extra": ()} == {
        **{n: getattr(whole, n) for n in whole.__slots__},
        "extra": (),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("displayName", "line 1"),
        ('displayName = "x"\nnumvcpus = "many"', "numvcpus"),
        ('displayName = "x"\nnumvcpus = "65"', "65 CPUs"),
        ('displayName = "x"\nmemSize = "3"', "multiple of 2 MiB"),
        ('memSize = "64"', "name"),
        (
            'displayName = "x"\nethernet0.present="TRUE"\nethernet0.address="01:02:03:04:05:06"',
            "MAC",
        ),
    ],
)
def test_a_wrong_vmx_says_why(text: str, message: str) -> None:
    with pytest.raises(VmError, match=message):
        spec.parse(text)


def tables(memory: bytes, base: int) -> dict[str, bytes]:
    """ACPI tables by signature, found from the RSDP as an operating system does."""

    def at(address: int) -> bytes:
        offset = address - base
        (length,) = struct.unpack_from("<I", memory, offset + 4)
        return memory[offset : offset + length]

    assert (
        memory[:8] == b"RSD PTR " and sum(memory[:20]) & 0xFF == 0 and sum(memory[:36]) & 0xFF == 0
    )
    xsdt = at(struct.unpack_from("<Q", memory, 24)[0])
    found = {"XSDT": xsdt}
    for (address,) in struct.iter_unpack("<Q", xsdt[36:]):
        found[at(address)[:4].decode()] = at(address)
    found["DSDT"] = at(struct.unpack_from("<Q", found["FACP"], 140)[0])
    return found


@pytest.mark.parametrize("cpus", [1, 8, 64])
def test_acpi_tables_are_found_and_sum_to_zero(cpus: int) -> None:
    found = tables(acpi.build(cpus), acpi.BASE)
    assert {"XSDT", "FACP", "APIC", "MCFG", "DSDT"} <= found.keys()
    assert all(sum(table) & 0xFF == 0 for table in found.values())
    fadt = found["FACP"]
    assert len(fadt) == 268
    assert struct.unpack_from("<I", fadt, 76)[0] == abi.lib().VM_PM_TIMER
    assert struct.unpack_from("<B", fadt, 108)[0] == 0x32
    processors = at = 0
    body = found["APIC"][44:]
    while at < len(body):
        processors += body[at] == 0
        at += body[at + 1]
    assert processors == cpus and at == len(body)


@given(st.integers(0, 5000))
def test_aml_lengths(size: int) -> None:
    """A buffer's package length leads exactly to its end."""
    data = aml.buffer(bytes(size))
    lead = data[1]
    count = lead >> 6
    length = lead & 0x3F
    if count:
        length = (lead & 15) | int.from_bytes(data[2 : 2 + count], "little") << 4
    assert length == len(data) - 1


def test_eisa_ids() -> None:
    assert aml.eisa_id("PNP0A03") == b"\x0c\x41\xd0\x0a\x03"


def test_smbios_structures_end_where_the_entry_point_says() -> None:
    data = smbios.build(spec.VmSpec("x", cpus=4, memory=64 * MIB))
    assert data[:4] == b"_SM_" and sum(data[:31]) & 0xFF == 0 and sum(data[16:31]) & 0xFF == 0
    length, address, count = struct.unpack_from("<HIH", data, 22)
    assert (address, len(data)) == (smbios.BASE + 32, 32 + length)
    at, kinds = 32, []
    while at < len(data):
        kinds.append(data[at])
        at = data.index(b"\0\0", at + data[at + 1]) + 2
    assert len(kinds) == count and kinds[-1] == 127 and at == len(data)


def test_e820_covers_memory_and_nothing_overlaps() -> None:
    for size in (64 * MIB, 3072 * MIB, 8192 * MIB):
        rows = sorted(birth.e820(size))
        assert all(a[0] + a[1] <= b[0] for a, b in pairwise(rows))
        assert sum(r[1] for r in rows if r[2] == linux.RAM) == size - (birth.ROM_END - birth.EBDA)


def bzimage(init_size: int = 1 << 20) -> bytes:
    """The smallest thing that the boot protocol takes for a kernel."""
    setup = linux.SETUP.parse(bytes(linux.SETUP.sizeof())[:13] + b"\x55\xaa\0\0HdrS" + bytes(200))
    setup.setup_sects, setup.version, setup.xloadflags = 1, 0x20F, 1
    setup.pref_address, setup.init_size, setup.cmdline_size = 0x1000000, init_size, 2047
    setup.initrd_addr_max = 0x7FFFFFFF
    head: bytes = linux.SETUP.build(setup)
    return bytes(0x1F1) + head + bytes(1024 - 0x1F1 - 115) + b"KERNEL"


def test_linux_is_loaded_where_it_wants(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(bzimage())
    (tmp_path / "i").write_bytes(b"initrd")
    made = spec.VmSpec(
        "x", memory=64 * MIB, kernel=tmp_path / "k", initrd=tmp_path / "i", append="a=b"
    )
    memory = Segments(made.memory)
    state = birth.prepare(made, memory)
    written = dict(memory.parts)
    assert written[0x1000000] == b"KERNEL"
    assert written[linux.COMMAND_LINE] == b"a=b\0"
    assert (state.rip, state.gpr) == (0x1000200, {cpu.RSI: linux.ZERO_PAGE})
    zero = linux.ZERO.parse(written[linux.ZERO_PAGE])
    setup = linux.SETUP.parse(zero.setup)
    assert written[setup.ramdisk_image] == b"initrd" and setup.ramdisk_size == 6
    assert zero.acpi_rsdp == acpi.BASE and zero.e820_entries == len(birth.e820(made.memory))
    module = image.build(made)
    header = abi.ffi().from_buffer("struct vm_image *", module)
    assert header.magic == abi.lib().VM_IMAGE_MAGIC and header.segments == len(memory.parts)
    segment = header.segment[0]
    assert module[segment.offset : segment.offset + segment.length] == memory.parts[0][1]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(bzimage(init_size=60 << 20))
    with pytest.raises(VmError, match="do not fit"):
        birth.prepare(spec.VmSpec("x", memory=64 * MIB, kernel=tmp_path / "k"), Segments(64 * MIB))
    with pytest.raises(VmError, match="no kernel"):
        birth.prepare(spec.VmSpec("x"), Segments(64 * MIB))
    (tmp_path / "k").write_bytes(b"ELF")
    with pytest.raises(VmError, match="not a Linux bzImage"):
        birth.prepare(spec.VmSpec("x", kernel=tmp_path / "k"), Segments(64 * MIB))
