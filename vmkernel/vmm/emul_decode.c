// SPDX-License-Identifier: Apache-2.0
/*
 * The fast decoder: MOV, MOVZX, MOVSX, the logical and arithmetical forms with an immediate or a
 * register, TEST, CMP, XCHG, STOS, MOVS. The address itself is not computed: the nested page fault
 * has told it.
 */
#include "vmm/emul.h"
#include "abi/vm.h"
#include "vmk/errno.h"
#include "vmk/string.h"

enum { REX_W = 8, REX_R = 4 };

struct stream {
	const uint8_t *at, *end;
	unsigned mode, operand; /* bytes */
	uint8_t rex;
	bool address_prefix;
};

/* What an opcode is; one byte of a table each. */
enum form { F_NONE, F_RM_R, F_R_RM, F_RM_IMM, F_GROUP1, F_GROUP3, F_MOFFS, F_STRING, F_EXTEND };
struct opcode {
	uint8_t form, op;
	bool byte;      /* operand of one byte */
	bool short_imm; /* immediate of one byte, sign-extended */
};

#define ALU(base, operation)                              \
	[base] = { F_RM_R, operation, true, false },      \
	[base + 1] = { F_RM_R, operation, false, false }, \
	[base + 2] = { F_R_RM, operation, true, false },  \
	[base + 3] = { F_R_RM, operation, false, false }

static const struct opcode one_byte[256] = {
	ALU(0x00, EMUL_ADD),
	ALU(0x08, EMUL_OR),
	ALU(0x10, EMUL_ADC),
	ALU(0x18, EMUL_SBB),
	ALU(0x20, EMUL_AND),
	ALU(0x28, EMUL_SUB),
	ALU(0x30, EMUL_XOR),
	ALU(0x38, EMUL_CMP),
	[0x63] = { F_EXTEND, EMUL_MOVSX, false, false },
	[0x80] = { F_GROUP1, 0, true, true },
	[0x81] = { F_GROUP1, 0, false, false },
	[0x83] = { F_GROUP1, 0, false, true },
	[0x84] = { F_RM_R, EMUL_TEST, true, false },
	[0x85] = { F_RM_R, EMUL_TEST, false, false },
	[0x86] = { F_RM_R, EMUL_XCHG, true, false },
	[0x87] = { F_RM_R, EMUL_XCHG, false, false },
	[0x88] = { F_RM_R, EMUL_MOV, true, false },
	[0x89] = { F_RM_R, EMUL_MOV, false, false },
	[0x8a] = { F_R_RM, EMUL_MOV, true, false },
	[0x8b] = { F_R_RM, EMUL_MOV, false, false },
	[0xa0 ... 0xa3] = { F_MOFFS, EMUL_MOV, false, false },
	[0xa4] = { F_STRING, EMUL_MOVS, true, false },
	[0xa5] = { F_STRING, EMUL_MOVS, false, false },
	[0xaa] = { F_STRING, EMUL_STOS, true, false },
	[0xab] = { F_STRING, EMUL_STOS, false, false },
	[0xc6] = { F_RM_IMM, EMUL_MOV, true, true },
	[0xc7] = { F_RM_IMM, EMUL_MOV, false, false },
	[0xf6] = { F_GROUP3, EMUL_TEST, true, true },
	[0xf7] = { F_GROUP3, EMUL_TEST, false, false },
};

static const uint8_t group1[8] = { EMUL_ADD, EMUL_OR,  EMUL_ADC, EMUL_SBB,
	                           EMUL_AND, EMUL_SUB, EMUL_XOR, EMUL_CMP };

/* Eats prefixes; false at the end of the bytes or for one that the full decoder has to look at. */
static bool prefixes(struct stream *s, struct emul_insn *i)
{
	static const uint8_t segments[8] = { VM_ES, VM_CS, VM_SS, VM_DS, VM_FS, VM_GS };

	for (; s->at < s->end; s->at++) {
		uint8_t b = *s->at;

		/*
		 * Repeated prefixes: the last of a group counts. LOCK changes nothing, since
		 * accesses to a device are not atomic among themselves.
		 */
		if (b == 0x66)
			s->operand = s->mode == 2 ? 4 : 2;
		else if (b == 0x67)
			s->address_prefix = true;
		else if (b == 0xf2 || b == 0xf3)
			i->rep = true;
		else if ((b & 0xe7) == 0x26) /* es, cs, ss, ds */
			i->seg = segments[b >> 3 & 3];
		else if (b == 0x64 || b == 0x65)
			i->seg = segments[b - 0x60];
		else if (b != 0xf0)
			break;
	}
	/* REX counts right in front of the opcode only, and over a 66h. */
	if (s->mode == 8 && s->at < s->end && (*s->at & 0xf0) == 0x40) {
		s->rex = *s->at++;
		if (s->rex & REX_W)
			s->operand = 8;
	}
	return s->at < s->end;
}

static bool skip(struct stream *s, unsigned n)
{
	if ((size_t)(s->end - s->at) < n)
		return false;
	s->at += n;
	return true;
}

/* ModRM, SIB and displacement of a memory operand; the reg field with its REX bit in *reg. */
static bool modrm(struct stream *s, const struct emul_insn *i, unsigned *reg)
{
	uint8_t b, mod, rm;

	if (s->at == s->end)
		return false;
	b = *s->at++;
	mod = b >> 6;
	rm = b & 7;
	*reg = (b >> 3 & 7) | (s->rex & REX_R ? 8 : 0);
	/* No memory operand: it cannot have faulted. */
	if (mod == 3)
		return false;
	/* 16-bit forms have no SIB; mod 0 with rm 6 is a displacement alone. */
	if (i->addr_size == 2)
		return skip(s, mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0);
	if (rm == 4) {
		if (s->at == s->end)
			return false;
		/* SIB without base: a displacement of 32 bits takes its place. */
		if ((*s->at++ & 7) == 5 && mod == 0)
			return skip(s, 4);
	} else if (rm == 5 && mod == 0) {
		return skip(s, 4);
	}
	return skip(s, mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static bool immediate(struct stream *s, struct emul_insn *i, unsigned size)
{
	int32_t v = 0;

	/* Immediates have 32 bits at most, sign-extended to 64. */
	size = MIN(size, 4u);
	if ((size_t)(s->end - s->at) < size)
		return false;
	memcpy(&v, s->at, size);
	s->at += size;
	i->imm = size == 1 ? (uint64_t)(int8_t)v : size == 2 ? (uint64_t)(int16_t)v : (uint64_t)v;
	i->has_imm = true;
	return true;
}

static void register_operand(const struct stream *s, struct emul_insn *i, unsigned reg)
{
	i->reg = (uint8_t)reg;
	i->reg_size = i->size;
	/* Without REX the byte registers 4 to 7 are AH, CH, DH, BH. */
	if (i->size == 1 && !s->rex && reg >= 4) {
		i->high = true;
		i->reg = reg - 4;
	}
}

static int two_bytes(struct stream *s, struct emul_insn *i)
{
	unsigned reg;
	uint8_t b;

	if (s->at == s->end)
		return -EINVAL;
	b = *s->at++;
	if ((b & 0xf6) != 0xb6 || !modrm(s, i, &reg)) /* b6, b7, be, bf */
		return -EINVAL;
	i->op = b & 8 ? EMUL_MOVSX : EMUL_MOVZX;
	i->size = b & 1 ? 2 : 1;
	i->reg = (uint8_t)reg;
	i->reg_size = (uint8_t)s->operand;
	return 0;
}

static int with_memory(struct stream *s, struct emul_insn *i, const struct opcode *o)
{
	unsigned reg;

	if (!modrm(s, i, &reg))
		return -EINVAL;
	switch (o->form) {
	case F_RM_R:
		i->to_mem = true;
		register_operand(s, i, reg);
		return 0;
	case F_R_RM: register_operand(s, i, reg); return 0;
	case F_EXTEND: /* MOVSXD; without REX.W a MOV */
		if (s->mode != 8)
			return -EINVAL;
		i->size = 4;
		i->reg = (uint8_t)reg;
		i->reg_size = (uint8_t)s->operand;
		return s->operand == 2 ? -EINVAL : 0;
	case F_GROUP1: i->op = group1[reg & 7]; break;
	default: /* C6, C7 and F6, F7 with /0 */
		if (reg & 7)
			return -EINVAL;
	}
	i->to_mem = true;
	return immediate(s, i, o->short_imm ? 1 : i->size) ? 0 : -EINVAL;
}

int emul_decode_fast(struct emul_insn *i, const uint8_t *bytes, unsigned count, unsigned mode)
{
	struct stream s = { bytes, bytes + MIN(count, (unsigned)INSN_MAX),
		            mode,  mode == 2 ? 2 : 4,
		            0,     false };
	const struct opcode *o;
	uint8_t b;
	int err = 0;

	memset(i, 0, sizeof(*i));
	i->seg = VM_DS;
	/* What is not known here may be known to Zydis: -EINVAL costs time, not correctness. */
	if (!prefixes(&s, i))
		return -EINVAL;
	i->addr_size = (uint8_t)(!s.address_prefix ? mode : mode == 4 ? 2 : 4);
	b = *s.at++;
	o = &one_byte[b];
	i->op = o->op;
	i->size = (uint8_t)(o->byte ? 1 : s.operand);
	if (b == 0x0f) {
		err = two_bytes(&s, i);
	} else if (o->form == F_NONE) {
		err = -EINVAL;
	} else if (o->form == F_MOFFS) {
		/* A0h to A3h: bit 0 is the size, bit 1 the direction, the register AL to RAX. */
		i->size = (uint8_t)(b & 1 ? s.operand : 1);
		i->reg_size = i->size;
		i->to_mem = b & 2;
		err = skip(&s, i->addr_size) ? 0 : -EINVAL;
	} else if (o->form != F_STRING) {
		err = with_memory(&s, i, o);
	}
	i->len = (uint8_t)(s.at - bytes);
	return err;
}
