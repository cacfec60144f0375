// SPDX-License-Identifier: Apache-2.0
/* What the emulated instructions do, flags included. */
#include "vmm/emul.h"
#include "vmk/log.h"

#define CF         BIT(0)
#define PF         BIT(2)
#define AF         BIT(4)
#define ZF         BIT(6)
#define SF         BIT(7)
#define OF         BIT(11)
#define ARITHMETIC (CF | PF | AF | ZF | SF | OF)

static uint64_t mask_of(unsigned size)
{
	return size >= 8 ? ~0ull : BIT(8 * size) - 1;
}

static uint64_t sign_extend(uint64_t v, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (uint64_t)((int64_t)(v << shift) >> shift);
}

uint64_t emul_reg_get(const uint64_t gpr[16], unsigned reg, bool high, unsigned size)
{
	return gpr[reg] >> (high ? 8 : 0) & mask_of(size);
}

void emul_reg_set(uint64_t gpr[16], unsigned reg, bool high, unsigned size, uint64_t value)
{
	/*
	 * A write of 4 bytes clears the upper half; of 1 or 2 bytes keeps the rest (SDM
	 * 1, 3.4.1.1).
	 */
	uint64_t mask = size == 4 ? ~0ull : mask_of(size) << (high ? 8 : 0);

	value = size == 4 ? value & 0xffffffff : value << (high ? 8 : 0);
	gpr[reg] = (gpr[reg] & ~mask) | (value & mask);
}

static uint64_t result_flags(uint64_t r, unsigned size)
{
	uint64_t f = 0;

	r &= mask_of(size);
	if (!r)
		f |= ZF;
	if (r >> (8 * size - 1))
		f |= SF;
	if (!(__builtin_popcount((unsigned)(r & 0xff)) & 1))
		f |= PF;
	return f;
}

/* a + b + carry or a - b - carry, with all six flags. */
static uint64_t add(uint64_t a, uint64_t b, bool carry, unsigned size, uint64_t *f)
{
	uint64_t m = mask_of(size), r = (a + b + carry) & m, top = BIT(8 * size - 1);

	*f = result_flags(r, size) | ((a ^ b ^ r) & AF);
	/* Carry out: the sum wrapped, which with carry in includes coming back to a itself. */
	if (r < (a & m) || (carry && r == (a & m)))
		*f |= CF;
	/* Overflow: operands of one sign, a result of the other. */
	if (~(a ^ b) & (a ^ r) & top)
		*f |= OF;
	return r;
}

static uint64_t sub(uint64_t a, uint64_t b, bool borrow, unsigned size, uint64_t *f)
{
	uint64_t m = mask_of(size), r = (a - b - borrow) & m, top = BIT(8 * size - 1);

	*f = result_flags(r, size) | ((a ^ b ^ r) & AF);
	if ((a & m) < (b & m) || (borrow && (a & m) == (b & m)))
		*f |= CF;
	if ((a ^ b) & (a ^ r) & top)
		*f |= OF;
	return r;
}

/* Destination and source to the destination's new value; *f: the flags, *touched: which of them. */
static uint64_t compute(uint8_t op, uint64_t d, uint64_t s, unsigned size, uint64_t *f,
                        uint64_t *touched)
{
	bool carry = *f & CF;
	uint64_t r, bit;

	*touched = ARITHMETIC;
	switch (op) {
	case EMUL_ADD: return add(d, s, false, size, f);
	case EMUL_ADC: return add(d, s, carry, size, f);
	case EMUL_SUB:
	case EMUL_CMP: return sub(d, s, false, size, f);
	case EMUL_SBB: return sub(d, s, carry, size, f);
	case EMUL_NEG: return sub(0, d, false, size, f);
	case EMUL_INC:
	case EMUL_DEC:
		*touched = ARITHMETIC & ~CF;
		return op == EMUL_INC ? add(d, 1, false, size, f) : sub(d, 1, false, size, f);
	case EMUL_AND:
	case EMUL_TEST:
	case EMUL_OR:
	case EMUL_XOR:
		r = op == EMUL_OR ? d | s : op == EMUL_XOR ? d ^ s : d & s;
		*f = result_flags(r, size);
		return r;
	case EMUL_BT:
	case EMUL_BTS:
	case EMUL_BTR:
	case EMUL_BTC:
		/*
		 * A bit offset in a register reaches beyond the operand; that has moved the
		 * address, which the fault has told, so the rest is within it.
		 */
		bit = BIT(s & (8 * size - 1));
		*touched = CF;
		*f = d & bit ? CF : 0;
		return op == EMUL_BT    ? d
		       : op == EMUL_BTS ? d | bit
		       : op == EMUL_BTR ? d & ~bit
		                        : d ^ bit;
	case EMUL_NOT: *touched = 0; return ~d;
	default: /* a plain move */ *touched = 0; return s;
	}
}

static uint64_t reverse(uint64_t v, unsigned size)
{
	return __builtin_bswap64(v) >> (64 - 8 * size);
}

static void vector_move(const struct emul_insn *i, struct emul_operand *m, struct emul_vector *x)
{
	for (unsigned half = 0; half < i->size / 8; half++) {
		if (i->to_mem)
			m->write(m, 8 * half, 8, x->get(x, i->reg, half));
		else
			x->set(x, i->reg, half, m->read(m, 8 * half, 8));
	}
	/* MOVQ from memory clears the register's upper half. */
	if (!i->to_mem && i->size == 8)
		x->set(x, i->reg, 1, 0);
}

static void move(const struct emul_insn *i, uint64_t gpr[16], struct emul_operand *m)
{
	uint64_t v;

	if (i->to_mem) {
		v = i->has_imm ? i->imm : emul_reg_get(gpr, i->reg, i->high, i->size);
		m->write(m, 0, i->size,
		         (i->op == EMUL_MOVBE ? reverse(v, i->size) : v) & mask_of(i->size));
		return;
	}
	v = m->read(m, 0, i->size);
	if (i->op == EMUL_MOVSX)
		v = sign_extend(v, i->size);
	else if (i->op == EMUL_MOVBE)
		v = reverse(v, i->size);
	emul_reg_set(gpr, i->reg, i->high, i->reg_size, v);
}

/* XCHG, XADD, CMPXCHG: memory and register both change. */
static void exchange(const struct emul_insn *i, uint64_t gpr[16], uint64_t *rflags,
                     struct emul_operand *m)
{
	uint64_t old = m->read(m, 0, i->size), reg = emul_reg_get(gpr, i->reg, i->high, i->size);
	uint64_t f = 0, acc;

	switch (i->op) {
	case EMUL_XCHG:
		m->write(m, 0, i->size, reg);
		emul_reg_set(gpr, i->reg, i->high, i->size, old);
		return;
	case EMUL_XADD:
		m->write(m, 0, i->size, add(old, reg, false, i->size, &f));
		emul_reg_set(gpr, i->reg, i->high, i->size, old);
		break;
	default:
		acc = emul_reg_get(gpr, 0, false, i->size);
		sub(acc, old, false, i->size, &f);
		/* CMPXCHG writes in either case (SDM 2A): the device sees it. */
		m->write(m, 0, i->size, f & ZF ? reg : old);
		if (!(f & ZF))
			emul_reg_set(gpr, 0, false, i->size, old);
	}
	*rflags = (*rflags & ~ARITHMETIC) | f;
}

void emul_run(const struct emul_insn *i, uint64_t gpr[16], uint64_t *rflags, struct emul_operand *m,
              struct emul_vector *x)
{
	uint64_t memory, other, result, f = *rflags, touched;
	bool keeps = i->op == EMUL_CMP || i->op == EMUL_TEST || i->op == EMUL_BT;

	switch (i->op) {
	case EMUL_MOV:
	case EMUL_MOVZX:
	case EMUL_MOVSX:
	case EMUL_MOVBE: move(i, gpr, m); return;
	case EMUL_VECTOR: vector_move(i, m, x); return;
	case EMUL_XCHG:
	case EMUL_XADD:
	case EMUL_CMPXCHG: exchange(i, gpr, rflags, m); return;
	default: break;
	}
	/* One read and at most one write, in this order: both are visible to the device. */
	memory = m->read(m, 0, i->size);
	other = i->has_imm ? i->imm : emul_reg_get(gpr, i->reg, i->high, i->size);
	if (i->to_mem)
		result = compute(i->op, memory, other, i->size, &f, &touched);
	else
		result = compute(i->op, other, memory, i->size, &f, &touched);
	*rflags = (*rflags & ~touched) | (f & touched);
	if (keeps)
		return;
	if (i->to_mem)
		m->write(m, 0, i->size, result & mask_of(i->size));
	else
		emul_reg_set(gpr, i->reg, i->high, i->size, result);
}
