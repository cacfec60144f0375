// SPDX-License-Identifier: Apache-2.0
/*
 * The emulator at work on a vCPU. Linear addresses are translated for instruction bytes and strings
 * only; a single operand is where the nested page fault was.
 */
#include "vmm/emul_mem.h"
#include "hw/exception.h"
#include "hw/msr.h"
#include "vmk/errno.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmm/emul.h"
#include "vmm/gva.h"
#include "vmm/vm_priv.h"
#include "x86/insn.h"

enum { STRING_MAX = 256 }; /* iterations of a REP before interrupts get their turn */
#define SEG_LONG BIT(9)
#define SEG_DB   BIT(10)

STAT(full, "vm.emul.full", "instructions that the fast decoder did not know");
STAT(unknown, "vm.emul.unknown", "instructions that could not be emulated");

/* 2, 4 or 8: the size of addresses. */
static unsigned mode_of(const struct vcpu_context *c)
{
	uint16_t cs = c->seg[VM_CS].attributes;

	if ((c->efer & EFER_LMA) && (cs & SEG_LONG))
		return 8;
	return cs & SEG_DB ? 4 : 2;
}

static gva_t linear(const struct vcpu_context *c, unsigned seg, uint64_t offset)
{
	if (mode_of(c) == 8)
		return offset + (seg == VM_FS || seg == VM_GS ? c->seg[seg].base : 0);
	return (uint32_t)(c->seg[seg].base + offset);
}

static unsigned fetch(struct vcpu *v, const struct vcpu_context *c, uint8_t *bytes, unsigned count)
{
	unsigned access = GVA_FETCH | (c->cpl == 3 ? GVA_USER : 0), done = 0;
	gva_t at = linear(c, VM_CS, v->rip);

	while (done < count) {
		unsigned n = MIN(count - done, (unsigned)(PAGE_SIZE - (at & (PAGE_SIZE - 1))));
		uint32_t error;
		gpa_t gpa;

		/*
		 * A page that is gone meanwhile ends the bytes; the decoder then says whether
		 * they were enough. AC does not matter to fetches.
		 */
		if (gva_translate(v->gmem, c, at, access, false, &gpa, &error) ||
		    gmem_read(v->gmem, gpa, bytes + done, n))
			break;
		done += n;
		at += n;
	}
	return done;
}

unsigned emul_fetch(struct vcpu *v, uint8_t *bytes, unsigned count)
{
	struct vcpu_context c;

	v->ops->context(v, &c);
	return fetch(v, &c, bytes, count);
}

/* The page of the local APIC: in x2APIC mode and when it is disabled it is nobody's. */
static bool is_apic(const struct vcpu *v, gpa_t gpa)
{
	return (gpa & ~0xfffull) == VM_LAPIC && (v->apic.base_msr & APIC_BASE_ENABLE) &&
	       !vlapic_x2apic(&v->apic);
}

uint64_t mmio_read(struct vcpu *v, gpa_t gpa, unsigned size)
{
	if (is_apic(v, gpa)) {
		unsigned off = gpa & 0xfff;

		/* Registers of 32 bits, 16 bytes apart; the bytes between them read as zero. */
		return (uint64_t)vlapic_read(&v->apic, off & 0xff0) >> (8 * (off & 3));
	}
	return iobus_mmio_read(&v->vm->io, gpa, size);
}

void mmio_write(struct vcpu *v, gpa_t gpa, unsigned size, uint64_t value)
{
	if (!is_apic(v, gpa))
		iobus_mmio_write(&v->vm->io, gpa, size, value);
	/* SDM 3A 11.4.1: writes go to the start of a register. */
	else if (!(gpa & 0xf))
		vlapic_write(&v->apic, gpa & 0xff0, (uint32_t)value);
}

struct operand {
	struct emul_operand m;
	struct vcpu *v;
	gpa_t gpa;
};

static uint64_t operand_read(struct emul_operand *m, unsigned offset, unsigned size)
{
	struct operand *o = container_of(m, struct operand, m);

	return mmio_read(o->v, o->gpa + offset, size);
}

static void operand_write(struct emul_operand *m, unsigned offset, unsigned size, uint64_t value)
{
	struct operand *o = container_of(m, struct operand, m);

	mmio_write(o->v, o->gpa + offset, size, value);
}

struct vector {
	struct emul_vector x;
	struct vcpu *v;
};

static uint64_t vector_get(struct emul_vector *x, unsigned reg, unsigned half)
{
	return vcpu_xmm_get(container_of(x, struct vector, x)->v, reg, half);
}

static void vector_set(struct emul_vector *x, unsigned reg, unsigned half, uint64_t value)
{
	vcpu_xmm_set(container_of(x, struct vector, x)->v, reg, half, value);
}

/*
 * Memory at a linear address, wherever it lies, within one page or byte by byte. False: #PF is on
 * its way.
 */
static bool string_access(struct vcpu *v, const struct vcpu_context *c, gva_t at, unsigned size,
                          bool write, uint64_t *value)
{
	unsigned access = (write ? GVA_WRITE : 0) | (c->cpl == 3 ? GVA_USER : 0);
	uint32_t error;
	gpa_t gpa;

	/*
	 * Two pages may be of different kinds, and the second may fault: then what the first
	 * byte has done stays, as on a processor that faults between two iterations.
	 */
	if ((at & (PAGE_SIZE - 1)) + size > PAGE_SIZE) {
		uint64_t whole = write ? *value : 0;

		for (unsigned i = 0; i < size; i++) {
			uint64_t byte = whole >> (8 * i) & 0xff;

			if (!string_access(v, c, at + i, 1, write, &byte))
				return false;
			if (!write)
				whole |= byte << (8 * i);
		}
		*value = whole;
		return true;
	}
	if (gva_translate(v->gmem, c, at, access, v->rflags & RFLAGS_AC, &gpa, &error)) {
		/* RIP and RCX are those of this iteration, so the guest's handler returns to it. */
		v->ops->set_cr2(v, at);
		vcpu_exception(v, VEC_PF, true, error);
		return false;
	}
	if (write) {
		/*
		 * RAM, or else a device: a string instruction may have its two
		 * operands anywhere.
		 */
		if (gmem_write(v->gmem, gpa, value, size))
			mmio_write(v, gpa, size, *value);
	} else {
		*value = 0;
		if (gmem_read(v->gmem, gpa, value, size))
			*value = mmio_read(v, gpa, size);
	}
	return true;
}

static void advance(struct vcpu *v, unsigned reg, unsigned size, unsigned addr_size)
{
	uint64_t step = v->rflags & RFLAGS_DF ? 0 - (uint64_t)size : size;

	emul_reg_set(v->gpr, reg, false, addr_size, v->gpr[reg] + step);
}

enum string_kind { STRING_STOS, STRING_MOVS, STRING_INS, STRING_OUTS };

/*
 * Up to STRING_MAX iterations; RIP moves when the last is done, so a REP that is cut short simply
 * runs again.
 */
static void string_run(struct vcpu *v, const struct vcpu_context *c, const struct emul_insn *i,
                       enum string_kind kind, uint16_t port)
{
	bool source = kind == STRING_MOVS || kind == STRING_OUTS;

	for (unsigned n = 0; n < STRING_MAX; n++) {
		uint64_t value = v->gpr[GPR_RAX];

		/* Tested first: a REP with RCX 0 does nothing at all. */
		if (i->rep && !emul_reg_get(v->gpr, GPR_RCX, false, i->addr_size))
			break;
		if (source) {
			uint64_t si = emul_reg_get(v->gpr, GPR_RSI, false, i->addr_size);

			if (!string_access(v, c, linear(c, i->seg, si), i->size, false, &value))
				return;
		} else if (kind == STRING_INS) {
			value = iobus_port_read(&v->vm->io, port, i->size);
		}
		if (kind == STRING_OUTS) {
			iobus_port_write(&v->vm->io, port, i->size, (uint32_t)value);
		} else {
			uint64_t di = emul_reg_get(v->gpr, GPR_RDI, false, i->addr_size);

			if (!string_access(v, c, linear(c, VM_ES, di), i->size, true, &value))
				return;
			advance(v, GPR_RDI, i->size, i->addr_size);
		}
		if (source)
			advance(v, GPR_RSI, i->size, i->addr_size);
		if (i->rep)
			emul_reg_set(v->gpr, GPR_RCX, false, i->addr_size,
			             emul_reg_get(v->gpr, GPR_RCX, false, i->addr_size) - 1);
		else
			break;
	}
	if (!i->rep || !emul_reg_get(v->gpr, GPR_RCX, false, i->addr_size))
		vcpu_skip(v, i->len);
}

static bool decode(struct emul_insn *i, const uint8_t *bytes, unsigned count, unsigned mode)
{
	int err = emul_decode_fast(i, bytes, count, mode);

	if (unlikely(err)) {
		stat_inc(full);
		err = emul_decode_full(i, bytes, count, mode);
	}
	if (err)
		stat_inc(unknown);
	i->writes = i->to_mem && i->op != EMUL_CMP && i->op != EMUL_TEST && i->op != EMUL_BT;
	return !err;
}

/* The instruction at RIP; NULL: unknown. */
static const struct emul_insn *instruction(struct vcpu *v, const struct vcpu_context *c)
{
	unsigned access = GVA_FETCH | (c->cpl == 3 ? GVA_USER : 0), mode = mode_of(c), count;
	gva_t at = linear(c, VM_CS, v->rip);
	/* A driver polls a handful of addresses: a small direct-mapped table by RIP. */
	struct emul_known *k = &v->known[(at ^ at >> 3) % ARRAY_SIZE(v->known)];
	bool whole = mode == 8 && (at & (PAGE_SIZE - 1)) <= PAGE_SIZE - sizeof(k->bytes);
	uint64_t bytes[2];

	if (likely(whole)) {
		/*
		 * The bytes are compared even though the walk is the same: the guest may have
		 * patched its code (alternatives, static keys).
		 */
		const void *code = gva_again(c, at, access, &k->where);

		if (code) {
			__builtin_memcpy(bytes, code, sizeof(bytes));
			if (bytes[0] == k->bytes[0] && bytes[1] == k->bytes[1])
				return &k->insn;
		}
	}
	/* The slot is another instruction's from here on, whatever fails below. */
	k->where.at = NULL;
	count = fetch(v, c, (uint8_t *)bytes, sizeof(bytes));
	if (!decode(&k->insn, (uint8_t *)bytes, MIN(count, (unsigned)INSN_MAX), mode))
		return NULL;
	if (whole && count == sizeof(bytes)) {
		memcpy(k->bytes, bytes, sizeof(bytes));
		gva_remember(v->gmem, c, at, access, &k->where);
	}
	return &k->insn;
}

/*
 * Whether a fault that reported a read may have been the instruction's, though it writes: some
 * emulators report the load of a read-modify-write. In ring 3, where a page may be mapped for
 * reading only, it has to be reported as a write.
 */
static bool may_read_first(const struct emul_insn *i, const struct vm_exit *e)
{
	bool moves = i->op == EMUL_MOV || i->op == EMUL_MOVBE || i->op == EMUL_VECTOR;

	return i->writes && !moves && e->cpl != 3;
}

bool emul_mmio(struct vcpu *v, const struct vm_exit *e)
{
	struct operand o = { { operand_read, operand_write }, v, e->mmio.gpa };
	struct vector x = { { vector_get, vector_set }, v };
	struct vcpu_context c;
	struct emul_insn told;
	const struct emul_insn *i = &told;

	v->ops->context(v, &c);
	/* With decode assists the bytes are those that the processor executed. */
	if (!e->mmio.count)
		i = instruction(v, &c);
	else if (!decode(&told, e->mmio.insn, e->mmio.count, mode_of(&c)))
		i = NULL;
	if (!i)
		return false;
	if (i->op == EMUL_STOS || i->op == EMUL_MOVS) {
		string_run(v, &c, i, i->op == EMUL_STOS ? STRING_STOS : STRING_MOVS, 0);
		return true;
	}
	/*
	 * Not the instruction that faulted: another vCPU has changed the code meanwhile. What is
	 * there now runs by itself, and faults with its own rights if it has to. (Strings translate
	 * their addresses again.)
	 */
	if (unlikely(i->writes != e->mmio.write) && !may_read_first(i, e))
		return true;
	emul_run(i, v->gpr, &v->rflags, &o.m, &x.x);
	vcpu_skip(v, i->len);
	return true;
}

/* The source's segment is not reported by every processor: take it from the prefixes. */
static uint8_t segment_prefix(const uint8_t *bytes, unsigned count)
{
	uint8_t seg = VM_DS;

	for (unsigned n = 0; n < count; n++) {
		uint8_t b = bytes[n];

		if ((b & 0xe7) == 0x26)
			seg = b >> 3 & 3;
		else if (b == 0x64 || b == 0x65)
			seg = b - 0x60;
		else if (b != 0x66 && b != 0x67 && b != 0xf2 && b != 0xf3)
			break;
	}
	return seg;
}

bool emul_string_io(struct vcpu *v, const struct vm_exit *e)
{
	struct vcpu_context c;
	uint8_t bytes[INSN_MAX];
	struct emul_insn i = {
		.len = e->len, .size = e->io.size, .addr_size = e->io.addr_size, .rep = e->io.rep
	};

	v->ops->context(v, &c);
	i.seg = segment_prefix(bytes, fetch(v, &c, bytes, e->len));
	string_run(v, &c, &i, e->io.in ? STRING_INS : STRING_OUTS, e->io.port);
	return true;
}

bool emul_mov_cr8(struct vcpu *v)
{
	uint8_t b[4]; /* REX.R 0F 22 /r */
	unsigned reg;

	if (emul_fetch(v, b, 4) != 4 || (b[0] & 0xf4) != 0x44 || b[1] != 0x0f || b[2] != 0x22)
		return false;
	/* REX.B extends the register's number; CR8 itself needs REX.R. */
	reg = (b[3] & 7) | (b[0] & 1) << 3;
	vlapic_write(&v->apic, APIC_TPR, (uint32_t)(v->gpr[reg] & 15) << 4);
	vcpu_skip(v, 4);
	return true;
}
