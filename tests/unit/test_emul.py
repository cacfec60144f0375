# SPDX-License-Identifier: Apache-2.0
"""The instruction emulator, differentially against unicorn, and on bytes of no meaning."""

from typing import Any

import pytest
import unicorn as uc
from hypothesis import given
from hypothesis import strategies as st
from unicorn import x86_const as x86

from tests.unit import cunit

SOURCES = ["vmkernel/vmm/emul_decode.c", "vmkernel/vmm/emul_run.c"]
CODE = """
#include <string.h>
static uint8_t *memory;
static uint64_t mem_read(struct emul_operand *m, unsigned off, unsigned size)
{
	uint64_t v = 0;
	memcpy(&v, memory + off, size);
	return v;
}
static void mem_write(struct emul_operand *m, unsigned off, unsigned size, uint64_t v)
{
	memcpy(memory + off, &v, size);
}
/* Decodes and runs one instruction on 16 bytes of memory: its length, or -errno. */
int run_one(const uint8_t *bytes, unsigned count, unsigned mode, uint64_t *gpr, uint64_t *rflags,
            uint8_t *mem)
{
	struct emul_operand m = { mem_read, mem_write };
	struct emul_insn i;
	int err = emul_decode_fast(&i, bytes, count, mode);

	if (err)
		return err;
	if (i.op == EMUL_STOS || i.op == EMUL_MOVS)
		return i.len;
	memory = mem;
	emul_run(&i, gpr, rflags, &m, NULL);
	return i.len;
}
"""
CDEF = "int run_one(const uint8_t *, unsigned, unsigned, uint64_t *, uint64_t *, uint8_t *);"

CODE_AT, DATA_AT = 0x1000, 0x200000
GPR = [
    x86.UC_X86_REG_RAX,
    x86.UC_X86_REG_RCX,
    x86.UC_X86_REG_RDX,
    x86.UC_X86_REG_RBX,
    x86.UC_X86_REG_RSP,
    x86.UC_X86_REG_RBP,
    x86.UC_X86_REG_RSI,
    x86.UC_X86_REG_RDI,
    *range(x86.UC_X86_REG_R8, x86.UC_X86_REG_R15 + 1),
]
CF, PF, AF, ZF, SF, OF = 1, 4, 0x10, 0x40, 0x80, 0x800
ALL = CF | PF | AF | ZF | SF | OF

#: Opcode bytes, whether an immediate follows (bytes; -1: the operand's size, at most 4), the values
#: of ModRM.reg that are allowed, and flags that the manual leaves undefined.
FORMS: list[tuple[bytes, int, range, int]] = [
    *(
        (bytes([base + n]), 0, range(8), 0)
        for base in (0x00, 0x10, 0x18, 0x28, 0x38)
        for n in range(4)
    ),
    *((bytes([base + n]), 0, range(8), AF) for base in (0x08, 0x20, 0x30) for n in range(4)),
    *((bytes([op]), 0, range(8), 0) for op in (0x63, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8B)),
    *((bytes([op]), 0, range(8), AF) for op in (0x84, 0x85)),
    *((bytes([0x0F, op]), 0, range(8), 0) for op in (0xB6, 0xB7, 0xBE, 0xBF)),
    (b"\x80", 1, range(8), AF),
    (b"\x81", -1, range(8), AF),
    (b"\x83", 1, range(8), AF),
    (b"\xc6", 1, range(1), 0),
    (b"\xc7", -1, range(1), 0),
    (b"\xf6", 1, range(1), AF),
    (b"\xf7", -1, range(1), AF),
]


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("emul", SOURCES, ["vmm/emul.h"], CDEF, code=CODE)


@st.composite
def instructions(draw: st.DrawFn) -> tuple[bytes, int, int]:
    """An instruction on [base + displacement], base's number, undefined flags."""
    opcode, immediate, regs, undefined = draw(st.sampled_from(FORMS))
    rex = draw(st.none() | st.integers(0x40, 0x4F))
    prefix = b"\x66" if draw(st.booleans()) and not (rex and rex & 8) and opcode != b"\x63" else b""
    reg, base = draw(st.sampled_from(regs)), draw(st.sampled_from((0, 1, 2, 3, 6, 7)))
    mod = draw(st.integers(0, 2))
    displacement = draw(st.integers(-8, 8))
    size = 8 if rex and rex & 8 else 2 if prefix else 4
    text = prefix + (bytes([rex & ~2]) if rex else b"") + opcode
    sib = draw(st.booleans())
    text += bytes([mod << 6 | reg << 3 | (4 if sib else base)]) + (
        bytes([0x20 | base]) if sib else b""
    )
    text += displacement.to_bytes(mod * mod, "little", signed=True) if mod else b""
    if immediate:
        count = immediate if immediate > 0 else min(size, 4)
        text += draw(st.binary(min_size=count, max_size=count))
    base |= 8 if rex and rex & 1 else 0
    return text, base, undefined


values = st.integers(0, (1 << 64) - 1) | st.sampled_from((0, 1, 0x7F, 0x80, 0xFFFF_FFFF, 1 << 63))


def reference(
    text: bytes, gpr: list[int], flags: int, memory: bytes
) -> tuple[list[int], int, bytes, int]:
    """Registers, flags, memory and length after one step of unicorn."""
    engine: Any = uc  # it has no types
    machine = engine.Uc(uc.UC_ARCH_X86, uc.UC_MODE_64)
    machine.mem_map(CODE_AT, 0x1000)
    machine.mem_map(DATA_AT - 0x1000, 0x3000)
    machine.mem_write(CODE_AT, text)
    machine.mem_write(DATA_AT, memory)
    for number, value in zip(GPR, gpr, strict=True):
        machine.reg_write(number, value)
    machine.reg_write(x86.UC_X86_REG_RFLAGS, flags | 2)
    machine.emu_start(CODE_AT, CODE_AT + len(text), count=1)
    after = [machine.reg_read(number) for number in GPR]
    out = bytes(machine.mem_read(DATA_AT, 16))
    length = machine.reg_read(x86.UC_X86_REG_RIP) - CODE_AT
    return after, machine.reg_read(x86.UC_X86_REG_RFLAGS) & ALL, out, length


@given(
    instructions(),
    st.lists(values, min_size=16, max_size=16),
    st.sampled_from((0, CF)),
    st.binary(min_size=16, max_size=16),
)
def test_against_unicorn(
    unit: cunit.Unit,
    instruction: tuple[bytes, int, int],
    gpr: list[int],
    flags: int,
    memory: bytes,
) -> None:
    text, base, undefined = instruction
    mod = next(b for b in [text[modrm_index(text)]]) >> 6
    displacement = displacement_of(text, mod)
    gpr[base] = DATA_AT - displacement
    expected = reference(text, gpr, flags, memory)
    registers: Any = unit.ffi.new("uint64_t[16]", gpr)
    rflags: Any = unit.ffi.new("uint64_t *", flags | 2)
    mem: Any = unit.ffi.new("uint8_t[16]", memory)
    length = unit.lib.run_one(text, len(text), 8, registers, rflags, mem)
    got = (list(registers), rflags[0] & ALL & ~undefined, bytes(mem), length)
    assert got == (expected[0], expected[1] & ~undefined, expected[2], expected[3]), text.hex()


def modrm_index(text: bytes) -> int:
    at = 0
    while text[at] == 0x66 or text[at] & 0xF0 == 0x40:
        at += 1
    return at + (2 if text[at] == 0x0F else 1)


def displacement_of(text: bytes, mod: int) -> int:
    at = modrm_index(text)
    at += 2 if text[at] & 7 == 4 else 1
    return int.from_bytes(text[at : at + mod * mod], "little", signed=True) if mod else 0


@given(st.binary(max_size=20), st.sampled_from((2, 4, 8)))
def test_any_bytes_are_safe(unit: cunit.Unit, text: bytes, mode: int) -> None:
    """Whatever the guest points its RIP at: a length within the bytes, or a refusal."""
    gpr: Any = unit.ffi.new("uint64_t[16]")
    rflags: Any = unit.ffi.new("uint64_t *")
    mem: Any = unit.ffi.new("uint8_t[16]")
    copy: Any = unit.ffi.new("uint8_t[]", text) if text else unit.ffi.new("uint8_t[1]")
    length = unit.lib.run_one(copy, len(text), mode, gpr, rflags, mem)
    assert length < 0 or 0 < length <= min(15, len(text))
