// SPDX-License-Identifier: Apache-2.0
/*
 * The full decoder: Zydis says what the instruction is, this file which of our operations that
 * means. Only forms with one memory operand; everything else is refused. Spec: Zydis 4.1 API.
 */
#include "abi/vm.h"
#include "vmk/errno.h"
#include "vmk/string.h"
#include "vmm/emul.h"
#include <Zydis/Zydis.h>

enum { OPERANDS = 5, VECTOR_SIZE = 16 };

static const struct {
	uint16_t mnemonic;
	uint8_t op; /* enum emul_op */
} known[] = {
	{ ZYDIS_MNEMONIC_MOV, EMUL_MOV },        { ZYDIS_MNEMONIC_MOVZX, EMUL_MOVZX },
	{ ZYDIS_MNEMONIC_MOVSX, EMUL_MOVSX },    { ZYDIS_MNEMONIC_MOVSXD, EMUL_MOVSX },
	{ ZYDIS_MNEMONIC_MOVNTI, EMUL_MOV },     { ZYDIS_MNEMONIC_MOVBE, EMUL_MOVBE },
	{ ZYDIS_MNEMONIC_ADD, EMUL_ADD },        { ZYDIS_MNEMONIC_ADC, EMUL_ADC },
	{ ZYDIS_MNEMONIC_SUB, EMUL_SUB },        { ZYDIS_MNEMONIC_SBB, EMUL_SBB },
	{ ZYDIS_MNEMONIC_AND, EMUL_AND },        { ZYDIS_MNEMONIC_OR, EMUL_OR },
	{ ZYDIS_MNEMONIC_XOR, EMUL_XOR },        { ZYDIS_MNEMONIC_CMP, EMUL_CMP },
	{ ZYDIS_MNEMONIC_TEST, EMUL_TEST },      { ZYDIS_MNEMONIC_XCHG, EMUL_XCHG },
	{ ZYDIS_MNEMONIC_XADD, EMUL_XADD },      { ZYDIS_MNEMONIC_CMPXCHG, EMUL_CMPXCHG },
	{ ZYDIS_MNEMONIC_INC, EMUL_INC },        { ZYDIS_MNEMONIC_DEC, EMUL_DEC },
	{ ZYDIS_MNEMONIC_NOT, EMUL_NOT },        { ZYDIS_MNEMONIC_NEG, EMUL_NEG },
	{ ZYDIS_MNEMONIC_BT, EMUL_BT },          { ZYDIS_MNEMONIC_BTS, EMUL_BTS },
	{ ZYDIS_MNEMONIC_BTR, EMUL_BTR },        { ZYDIS_MNEMONIC_BTC, EMUL_BTC },
	{ ZYDIS_MNEMONIC_MOVUPS, EMUL_VECTOR },  { ZYDIS_MNEMONIC_MOVAPS, EMUL_VECTOR },
	{ ZYDIS_MNEMONIC_MOVUPD, EMUL_VECTOR },  { ZYDIS_MNEMONIC_MOVAPD, EMUL_VECTOR },
	{ ZYDIS_MNEMONIC_MOVDQU, EMUL_VECTOR },  { ZYDIS_MNEMONIC_MOVDQA, EMUL_VECTOR },
	{ ZYDIS_MNEMONIC_MOVNTDQ, EMUL_VECTOR }, { ZYDIS_MNEMONIC_MOVNTPS, EMUL_VECTOR },
	{ ZYDIS_MNEMONIC_MOVQ, EMUL_VECTOR },
};

static int operation(ZydisMnemonic mnemonic)
{
	for (unsigned n = 0; n < ARRAY_SIZE(known); n++) {
		if (known[n].mnemonic == mnemonic)
			return known[n].op;
	}
	return -EINVAL;
}

static int register_operand(struct emul_insn *i, ZydisRegister reg, unsigned bits)
{
	int id = ZydisRegisterGetId(reg);

	switch (ZydisRegisterGetClass(reg)) {
	/* AL CL DL BL AH CH DH BH SPL ... R8B ...: Zydis counts them through */
	case ZYDIS_REGCLASS_GPR8:
		i->high = reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH;
		id = i->high ? (int)(reg - ZYDIS_REGISTER_AH) : id >= 8 ? id - 4 : id;
		break;
	case ZYDIS_REGCLASS_GPR16:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR64:
	case ZYDIS_REGCLASS_XMM: break;
	default: return -EINVAL;
	}
	i->reg = (uint8_t)id;
	i->reg_size = (uint8_t)(bits / 8);
	return 0;
}

static int operand(struct emul_insn *i, const ZydisDecodedOperand *o, unsigned index, bool *memory)
{
	if (o->type == ZYDIS_OPERAND_TYPE_MEMORY) {
		if (*memory)
			return -EINVAL;
		*memory = true;
		i->to_mem = index == 0;
		i->size = (uint8_t)(o->size / 8);
		return 0;
	}
	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		i->has_imm = true;
		i->imm = o->imm.value.u;
		return 0;
	}
	return register_operand(i, o->reg.value, o->size);
}

int emul_decode_full(struct emul_insn *i, const uint8_t *bytes, unsigned count, unsigned mode)
{
	ZydisDecoder decoder;
	ZydisDecoderContext context;
	ZydisDecodedInstruction z;
	ZydisDecodedOperand o[OPERANDS];
	ZydisMachineMode machine = mode == 8   ? ZYDIS_MACHINE_MODE_LONG_64
	                           : mode == 4 ? ZYDIS_MACHINE_MODE_LEGACY_32
	                                       : ZYDIS_MACHINE_MODE_LEGACY_16;
	bool memory = false;
	int op, err = 0;

	memset(i, 0, sizeof(*i));
	if (!ZYAN_SUCCESS(ZydisDecoderInit(&decoder, machine,
	                                   mode == 8   ? ZYDIS_STACK_WIDTH_64
	                                   : mode == 4 ? ZYDIS_STACK_WIDTH_32
	                                               : ZYDIS_STACK_WIDTH_16)) ||
	    !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, &context, bytes, count, &z)))
		return -EINVAL;
	op = operation(z.mnemonic);
	/* VEX and EVEX forms have other operands: refused. */
	if (op < 0 || z.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	    z.operand_count_visible > OPERANDS)
		return -EINVAL;
	/* Only the operands that are written: flags and CMPXCHG's accumulator are known. */
	if (!ZYAN_SUCCESS(
		    ZydisDecoderDecodeOperands(&decoder, &context, &z, o, z.operand_count_visible)))
		return -EINVAL;
	i->op = (uint8_t)op;
	i->len = z.length;
	i->addr_size = z.address_width / 8;
	for (unsigned n = 0; n < z.operand_count_visible && !err; n++)
		err = operand(i, &o[n], n, &memory);
	/* Without a memory operand the fault was an implicit one, of the stack for instance. */
	if (err || !memory || i->size > VECTOR_SIZE || !i->size)
		return -EINVAL;
	/* A register alone on the other side of a plain operation has its size. */
	if (!i->reg_size)
		i->reg_size = i->size;
	return 0;
}
