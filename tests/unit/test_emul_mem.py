# SPDX-License-Identifier: Apache-2.0
"""The emulator on a vCPU against unicorn: the full decoder, vectors, strings, string I/O.

The first 32 KiB of the guest are memory, the next 32 KiB a device that keeps what is written to it.
"""

from typing import Any

import pytest
import unicorn as uc
from hypothesis import given
from hypothesis import strategies as st
from unicorn import x86_const as x86

from tests.unit import cunit
from tests.unit.test_emul import AF, ALL, CF, GPR, OF, PF, SF, ZF, values

SOURCES = [
    *(f"vmkernel/vmm/emul_{name}.c" for name in ("mem", "decode", "run", "zydis")),
    *(f"build/src/zydis/src/{name}.c" for name in ("Decoder", "DecoderData", "SharedData")),
    "build/src/zydis/src/Register.c",
]
OPTIONS = [
    *("-isystem", "build/src/zydis/include", "-isystem", "build/src/zycore/include"),
    *("-Ibuild/src/zydis/src", "-DZYAN_NO_LIBC", "-DZYDIS_STATIC_BUILD", "-DZYCORE_STATIC_BUILD"),
    *("-DZYDIS_DISABLE_ENCODER", "-DZYDIS_DISABLE_FORMATTER", "-DZYDIS_DISABLE_AVX512"),
    *("-DZYDIS_DISABLE_KNC", "-Wno-unused-function"),
]
CODE = """
#include <string.h>
#include "vmm/emul.h"
#include "vmm/emul_mem.h"
#include "vmm/gva.h"
#include "vmm/vm_priv.h"
enum { SIZE = 0x8000 };
static uint8_t ram[SIZE], device[SIZE];
static uint64_t xmm[16][2];
static struct vm vm;
static struct vcpu vcpu;
static uint64_t port_next;
uint8_t *the_ram(void) { return ram; }
uint8_t *the_device(void) { return device; }
uint64_t *the_gpr(void) { return vcpu.gpr; }
uint64_t *the_xmm(void) { return &xmm[0][0]; }
int gva_translate(struct gmem *g, const struct vcpu_context *c, gva_t gva, unsigned access, bool ac,
                  gpa_t *gpa, uint32_t *error)
{
	*gpa = gva;
	*error = access;
	return gva < 2 * SIZE ? 0 : -14;
}
/* The same walk always: only the bytes can tell that the instruction is another. */
void gva_remember(struct gmem *g, const struct vcpu_context *c, gva_t gva, unsigned access,
                  struct gva_known *k)
{
	k->at = (char *)ram;
}
const void *gva_again(const struct vcpu_context *c, gva_t gva, unsigned access,
                      const struct gva_known *k)
{
	return k->at ? k->at + gva : NULL;
}
int gmem_read(struct gmem *g, gpa_t gpa, void *dst, size_t len)
{
	return gpa + len <= SIZE ? (memcpy(dst, ram + gpa, len), 0) : -14;
}
int gmem_write(struct gmem *g, gpa_t gpa, const void *src, size_t len)
{
	return gpa + len <= SIZE ? (memcpy(ram + gpa, src, len), 0) : -14;
}
uint64_t iobus_mmio_read(struct iobus *b, gpa_t gpa, unsigned size)
{
	uint64_t v = 0;
	memcpy(&v, device + (gpa - SIZE), size);
	return v;
}
void iobus_mmio_write(struct iobus *b, gpa_t gpa, unsigned size, uint64_t v)
{
	memcpy(device + (gpa - SIZE), &v, size);
}
uint32_t iobus_port_read(struct iobus *b, uint16_t port, unsigned size)
{
	port_next = port_next * 5 + port + size;
	return (uint32_t)port_next & (size == 4 ? ~0u : (1u << 8 * size) - 1);
}
void iobus_port_write(struct iobus *b, uint16_t port, unsigned size, uint32_t v)
{
	port_next = port_next * 5 + port + size + (size == 4 ? v : v & ((1u << 8 * size) - 1));
}
uint32_t vlapic_read(struct vlapic *a, unsigned reg) { return 0; }
void vlapic_write(struct vlapic *a, unsigned reg, uint32_t v) {}
uint64_t vcpu_xmm_get(struct vcpu *v, unsigned reg, unsigned half) { return xmm[reg][half]; }
void vcpu_xmm_set(struct vcpu *v, unsigned reg, unsigned half, uint64_t x) { xmm[reg][half] = x; }
static void context(const struct vcpu *v, struct vcpu_context *c)
{
	memset(c, 0, sizeof(*c));
	c->efer = BIT(10);
	c->seg[VM_CS].attributes = BIT(9);
}
static void set_cr2(struct vcpu *v, uint64_t x) {}
static const struct hvm_ops ops = { .context = context, .set_cr2 = set_cr2 };
/* The instruction at rip, until RIP moves: 1; 0 is not emulated, or vector << 8 of an exception. */
static int settle(const struct vm_exit *e, bool (*fn)(struct vcpu *, const struct vm_exit *))
{
	uint64_t rip = vcpu.rip;

	while (vcpu.rip == rip) {
		if (!fn(&vcpu, e))
			return 0;
		if (vcpu.event.valid)
			return vcpu.event.vector << 8;
	}
	return 1;
}
static void prepare(uint64_t rip, uint64_t flags)
{
	vm.io.port_map = NULL;
	vcpu.vm = &vm;
	vcpu.ops = &ops;
	vcpu.rip = rip;
	vcpu.rflags = flags;
	vcpu.event.valid = false;
}
int step(uint64_t *rip, uint64_t *flags, uint64_t gpa)
{
	struct vm_exit e = { .kind = EXIT_MMIO, .mmio.gpa = gpa };
	struct emul_insn i;

	/* What a processor reports: a write, also of what is read first. */
	if (!emul_decode_fast(&i, ram + *rip, 15, 8) || !emul_decode_full(&i, ram + *rip, 15, 8))
		e.mmio.write = i.to_mem && i.op != EMUL_CMP && i.op != EMUL_TEST && i.op != EMUL_BT;
	prepare(*rip, *flags);
	int r = settle(&e, emul_mmio);
	*rip = vcpu.rip;
	*flags = vcpu.rflags;
	return r;
}
/* A fault that the instruction at rip did not make; whether it was carried out. */
bool mismatch(uint64_t rip, uint64_t gpa, bool write, unsigned cpl)
{
	struct vm_exit e = { .kind = EXIT_MMIO, .cpl = cpl, .mmio = { .gpa = gpa, .write = write } };

	prepare(rip, 2);
	return !emul_mmio(&vcpu, &e) || vcpu.event.valid || vcpu.rip != rip;
}
int string_io(uint64_t *rip, uint64_t flags, bool in, unsigned size, unsigned addr, bool rep,
              unsigned len, uint64_t seed, uint64_t *digest)
{
	struct vm_exit e = { .kind = EXIT_IO, .len = len };

	e.io.port = (uint16_t)vcpu.gpr[GPR_RDX];
	e.io.size = size;
	e.io.addr_size = addr;
	e.io.in = in;
	e.io.string = true;
	e.io.rep = rep;
	prepare(*rip, flags);
	port_next = seed;
	int r = settle(&e, emul_string_io);
	*rip = vcpu.rip;
	*digest = port_next;
	return r;
}
/* Only the full decoder: what the fast one would have taken is decoded again and run. */
int full(const uint8_t *bytes, unsigned count, struct emul_insn *i)
{
	return emul_decode_full(i, bytes, count, 8);
}
int fast(const uint8_t *bytes, unsigned count, struct emul_insn *i)
{
	return emul_decode_fast(i, bytes, count, 8);
}
"""
CDEF = """
uint8_t *the_ram(void); uint8_t *the_device(void); uint64_t *the_gpr(void); uint64_t *the_xmm(void);
int step(uint64_t *rip, uint64_t *flags, uint64_t gpa);
bool mismatch(uint64_t rip, uint64_t gpa, bool write, unsigned cpl);
int string_io(uint64_t *rip, uint64_t flags, bool in, unsigned size, unsigned addr, bool rep,
              unsigned len, uint64_t seed, uint64_t *digest);
int full(const uint8_t *, unsigned, struct emul_insn *);
int fast(const uint8_t *, unsigned, struct emul_insn *);
"""
SIZE, CODE_AT, DF = 0x8000, 0x7000, 0x400
XMM = [x86.UC_X86_REG_XMM0 + n for n in range(16)]
MASK = (1 << 64) - 1

#: Opcode with its prefixes, bytes of immediate (-1: the operand's, at most 4), ModRM.reg, undefined
#: flags. Only what the fast decoder leaves to the full one, or may.
FORMS: list[tuple[bytes, bytes, int, range, int]] = [
    *((b"", bytes([0x0F, op]), 0, range(8), 0) for op in (0xC0, 0xC1, 0xB0, 0xB1)),  # XADD CMPXCHG
    *((b"", bytes([op]), 0, range(2), 0) for op in (0xFE, 0xFF)),  # INC, DEC
    *((b"", bytes([op]), 0, range(2, 4), 0) for op in (0xF6, 0xF7)),  # NOT, NEG
    (b"", b"\x0f\xba", 1, range(4, 8), OF | SF | AF | PF),  # BT, BTS, BTR, BTC by a number
    *((b"", bytes([0x0F, 0x38, op]), 0, range(8), 0) for op in (0xF0, 0xF1)),  # MOVBE
    (b"", b"\x81", -1, range(8), AF),
    (b"", b"\x0f\xc3", 0, range(8), 0),  # MOVNTI
]
#: MOVUPS MOVAPS MOVNTPS, with 66 MOVUPD MOVAPD MOVDQA MOVNTDQ MOVQ, with F3 MOVDQU MOVQ.
VECTORS = [
    *((b"", bytes([0x0F, op])) for op in (0x10, 0x11, 0x28, 0x29, 0x2B)),
    *((b"\x66", bytes([0x0F, op])) for op in (0x10, 0x11, 0x28, 0x29, 0x6F, 0x7F, 0xE7, 0xD6)),
    *((b"\xf3", bytes([0x0F, op])) for op in (0x6F, 0x7F, 0x7E)),
]


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("emul_mem", SOURCES, ["vmm/emul.h"], CDEF, code=CODE, options=OPTIONS)


class Twins:
    """The same machine twice: ours, and unicorn's."""

    def __init__(self, unit: cunit.Unit, gpr: list[int], flags: int, memory: bytes) -> None:
        self.unit, self.flags = unit, flags | 2
        engine: Any = uc  # it has no types
        self.other = engine.Uc(uc.UC_ARCH_X86, uc.UC_MODE_64)
        self.other.mem_map(0, 2 * SIZE)
        ffi, lib = unit.ffi, unit.lib
        self.ram, self.device = ffi.buffer(lib.the_ram(), SIZE), ffi.buffer(lib.the_device(), SIZE)
        self.ram[:] = (memory * (SIZE // len(memory) + 1))[:SIZE]
        self.device[:] = bytes(self.ram)[::-1]
        for n, value in enumerate(gpr):
            lib.the_gpr()[n] = value
            self.other.reg_write(GPR[n], value)
        for n in range(16):
            low, high = gpr[n] * 3 & MASK, gpr[n] * 7 & MASK
            lib.the_xmm()[2 * n], lib.the_xmm()[2 * n + 1] = low, high
            self.other.reg_write(XMM[n], high << 64 | low)

    def run(self, text: bytes) -> None:
        """Puts the instruction into both, and runs it in unicorn."""
        self.ram[CODE_AT : CODE_AT + 16] = text.ljust(16, b"\x90")
        self.other.mem_write(0, bytes(self.ram) + bytes(self.device))
        self.other.reg_write(x86.UC_X86_REG_RFLAGS, self.flags)
        self.other.emu_start(CODE_AT, CODE_AT + len(text))

    def check(self, rip: int, flags: int | None, undefined: int, text: bytes) -> None:
        read = self.other.reg_read
        assert rip == CODE_AT + len(text) == read(x86.UC_X86_REG_RIP), text.hex()
        got = [self.unit.lib.the_gpr()[n] for n in range(16)]
        assert got == [read(r) for r in GPR], text.hex()
        if flags is not None:
            mask = ALL & ~undefined
            assert flags & mask == read(x86.UC_X86_REG_RFLAGS) & mask, text.hex()
        mine = [self.unit.lib.the_xmm()[n] for n in range(32)]
        assert mine == [read(XMM[n // 2]) >> 64 * (n & 1) & MASK for n in range(32)], text.hex()
        assert bytes(self.ram) + bytes(self.device) == self.other.mem_read(0, 2 * SIZE), text.hex()

    def step(self, gpa: int) -> tuple[int, int, int]:
        """Our turn: outcome, RIP, RFLAGS."""
        rip = self.unit.ffi.new("uint64_t *", CODE_AT)
        flags = self.unit.ffi.new("uint64_t *", self.flags)
        outcome = int(self.unit.lib.step(rip, flags, gpa))
        return outcome, rip[0], flags[0]


def modrm(reg: int, base: int) -> bytes:
    """[base + disp8 0]; base is not RSP."""
    return bytes([0x40 | (reg & 7) << 3 | (base & 7), 0])


#: Instruction, whether the fault was a write, ring, whether it may be carried out.
DIRECTIONS = [
    ("8903", True, 3, True),  # MOV [RBX], EAX
    ("8903", False, 0, False),
    ("8903", False, 3, False),
    ("8b03", False, 3, True),  # MOV EAX, [RBX]
    ("8b03", True, 0, False),
    ("c70301000000", False, 0, False),  # MOV [RBX], 1
    ("0103", True, 3, True),  # ADD [RBX], EAX
    ("0103", False, 3, False),
    ("0103", False, 0, True),  # an emulator's load of the two
    ("8503", True, 0, False),  # TEST [RBX], EAX
    ("3b03", False, 3, True),  # CMP EAX, [RBX]
    ("8703", False, 3, False),  # XCHG [RBX], EAX
    ("0f1103", False, 0, False),  # MOVUPS [RBX], XMM0
    ("0f1003", True, 3, False),  # MOVUPS XMM0, [RBX]
]


@pytest.mark.parametrize(("text", "write", "ring", "runs"), DIRECTIONS)
def test_code_that_was_swapped_is_not_carried_out(
    unit: cunit.Unit, text: str, write: bool, ring: int, runs: bool
) -> None:
    """Between the fault and the fetch another vCPU may put an instruction of the other kind."""
    twins = Twins(unit, [0x55] * 16, 0, b"\x11")
    before = bytes(twins.device)
    twins.ram[CODE_AT : CODE_AT + 16] = bytes.fromhex(text).ljust(16, b"\x90")
    assert unit.lib.mismatch(CODE_AT, SIZE + 64, write, ring) == runs
    if not runs:
        assert bytes(twins.device) == before and unit.lib.the_gpr()[0] == 0x55


registers = st.lists(values, min_size=16, max_size=16)
memories = st.binary(min_size=1, max_size=37)


@given(
    st.sampled_from(FORMS),
    st.data(),
    registers,
    st.sampled_from((0, CF, ZF | SF)),
    memories,
    st.booleans(),
)
def test_integers(
    unit: cunit.Unit,
    form: tuple[bytes, bytes, int, range, int],
    data: st.DataObject,
    gpr: list[int],
    flags: int,
    memory: bytes,
    equal: bool,
) -> None:
    prefix, opcode, immediate, regs, undefined = form
    wide, short = data.draw(st.booleans()), data.draw(st.booleans())
    no16 = opcode == b"\x0f\xc3"
    size = 8 if wide else 2 if short and not no16 else 4
    rex = 0x48 if wide else 0x40
    reg, base = data.draw(st.sampled_from(regs)), data.draw(st.sampled_from((0, 3, 6, 7)))
    text = (b"\x66" if size == 2 else b"") + prefix + bytes([rex]) + opcode + modrm(reg, base)
    if immediate:
        count = immediate if immediate > 0 else min(size, 4)
        text += data.draw(st.binary(min_size=count, max_size=count))
    at = SIZE + data.draw(st.integers(0, SIZE - 8))
    gpr[base] = at
    if equal and base != 0:  # CMPXCHG that finds what it looks for
        body = (memory * (SIZE // len(memory) + 1))[:SIZE][::-1]
        gpr[0] = int.from_bytes(body[at - SIZE : at - SIZE + 8], "little")
    twins = Twins(unit, gpr, flags, memory)
    twins.run(text)
    outcome, rip, after = twins.step(at)
    assert outcome == 1, text.hex()
    twins.check(rip, after, undefined, text)


@given(st.sampled_from(VECTORS), st.integers(0, 15), registers, memories, st.integers(0, 2040))
def test_vectors(
    unit: cunit.Unit,
    form: tuple[bytes, bytes],
    reg: int,
    gpr: list[int],
    memory: bytes,
    where: int,
) -> None:
    prefix, opcode = form
    text = prefix + (b"\x44" if reg & 8 else b"") + opcode + modrm(reg, 3)
    gpr[3] = at = SIZE + 16 * where
    twins = Twins(unit, gpr, 0, memory)
    twins.run(text)
    outcome, rip, _ = twins.step(at)
    assert outcome == 1, text.hex()
    twins.check(rip, None, 0, text)


@given(
    st.sampled_from((0xA4, 0xA5, 0xAA, 0xAB)),
    st.sampled_from((1, 2, 4, 8)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 700),
    st.tuples(st.booleans(), st.booleans()),
    registers,
    memories,
)
def test_strings(
    unit: cunit.Unit,
    opcode: int,
    size: int,
    rep: bool,
    down: bool,
    count: int,
    in_device: tuple[bool, bool],
    gpr: list[int],
    memory: bytes,
) -> None:
    """MOVS and STOS between memory and device, both ways, more than one turn's worth."""
    size = 1 if not opcode & 1 else max(size, 2)
    text = (b"\x66" if size == 2 else b"") + (b"\xf3" if rep else b"")
    text += (b"\x48" if size == 8 else b"") + bytes([opcode])
    gpr[1], gpr[6], gpr[7] = count, 0x2000, 0x3800
    gpr[6] += SIZE if in_device[0] else 0
    gpr[7] += SIZE if in_device[1] else 0
    if not rep:
        gpr[1] = 5
    twins = Twins(unit, gpr, DF if down else 0, memory)
    twins.run(text)
    outcome, rip, after = twins.step(gpr[7])
    assert outcome == 1, text.hex()
    twins.check(rip, after, 0, text)


@given(
    st.booleans(),
    st.sampled_from((1, 2, 4)),
    st.booleans(),
    st.booleans(),
    st.integers(0, 600),
    registers,
    memories,
)
def test_string_io(
    unit: cunit.Unit,
    inward: bool,
    size: int,
    rep: bool,
    down: bool,
    count: int,
    gpr: list[int],
    memory: bytes,
) -> None:
    text = (b"\x66" if size == 2 else b"") + (b"\xf3" if rep else b"")
    text += bytes([(0x6C if inward else 0x6E) | (size > 1)])
    gpr[1], gpr[2], gpr[6], gpr[7] = count, 0x1234, 0x2000, 0x3800
    twins = Twins(unit, gpr, DF if down else 0, memory)
    seed, mask = 7, (1 << 64) - 1
    digest = [seed]

    def read(_: Any, port: int, width: int, __: Any) -> int:
        digest[0] = (digest[0] * 5 + port + width) & mask
        return digest[0] & (1 << 8 * width) - 1

    def write(_: Any, port: int, width: int, value: int, __: Any) -> None:
        digest[0] = (digest[0] * 5 + port + width + (value & (1 << 8 * width) - 1)) & mask

    twins.other.hook_add(uc.UC_HOOK_INSN, read, None, 1, 0, x86.UC_X86_INS_IN)
    twins.other.hook_add(uc.UC_HOOK_INSN, write, None, 1, 0, x86.UC_X86_INS_OUT)
    twins.run(text)
    rip, mine = unit.ffi.new("uint64_t *", CODE_AT), unit.ffi.new("uint64_t *")
    outcome = unit.lib.string_io(rip, twins.flags, inward, size, 8, rep, len(text), seed, mine)
    assert outcome == 1
    twins.check(rip[0], None, 0, text)
    assert mine[0] == digest[0]


def test_a_string_that_leaves_memory_faults(unit: cunit.Unit) -> None:
    gpr = [0] * 16
    gpr[1], gpr[6], gpr[7] = 100, 0x100, 2 * SIZE - 10
    twins = Twins(unit, gpr, 0, b"x")
    twins.ram[CODE_AT : CODE_AT + 2] = b"\xf3\xa4"
    outcome, rip, _ = twins.step(gpr[7])
    assert (outcome, rip) == (14 << 8, CODE_AT)
    assert unit.lib.the_gpr()[1] == 90 and unit.lib.the_gpr()[7] == 2 * SIZE


@given(st.binary(min_size=1, max_size=15))
def test_two_decoders_agree(unit: cunit.Unit, text: bytes) -> None:
    """What the fast decoder takes, the full one takes too, and means the same by it."""
    fast, full = unit.ffi.new("struct emul_insn *"), unit.ffi.new("struct emul_insn *")
    length = text.ljust(15, b"\0")
    if unit.lib.fast(length, 15, fast):
        return
    if fast.op in (unit.lib.EMUL_STOS, unit.lib.EMUL_MOVS):
        return
    assert unit.lib.full(length, 15, full) == 0, text.hex()
    names = ("len", "op", "size", "to_mem", "has_imm")
    mine = [getattr(fast, name) for name in names]
    assert mine == [getattr(full, name) for name in names], text.hex()
    if fast.has_imm:
        mask = (1 << 8 * fast.size) - 1
        assert fast.imm & mask == full.imm & mask, text.hex()
    else:
        assert (fast.reg, fast.high) == (full.reg, full.high), text.hex()
