// SPDX-License-Identifier: Apache-2.0
/*
 * Instructions that touch device memory: decoding and meaning, without any of the VM around them.
 * The fast decoder (emul_decode.c) knows the forms that drivers use; Zydis (emul_zydis.c) the rest.
 * Spec: Intel SDM 2 (encoding, flags).
 */
#ifndef VMM_EMUL_H
#define VMM_EMUL_H
#include "vmk/types.h"

enum { INSN_MAX = 15 };

enum emul_op {
	EMUL_MOV,
	EMUL_MOVZX,
	EMUL_MOVSX,
	EMUL_AND,
	EMUL_OR,
	EMUL_XOR,
	EMUL_ADD,
	EMUL_SUB,
	EMUL_ADC,
	EMUL_SBB,
	EMUL_CMP,
	EMUL_TEST,
	EMUL_XCHG,
	EMUL_XADD,
	EMUL_CMPXCHG,
	EMUL_INC,
	EMUL_DEC,
	EMUL_NOT,
	EMUL_NEG,
	EMUL_BT,
	EMUL_BTS,
	EMUL_BTR,
	EMUL_BTC,
	EMUL_MOVBE,
	EMUL_VECTOR, /* MOV of 16 bytes, XMM register reg */
	EMUL_STOS,
	EMUL_MOVS,
	EMUL_OPS,
};

struct emul_insn {
	uint8_t len, op;   /* enum emul_op */
	uint8_t size;      /* bytes of the memory operand: 1, 2, 4, 8, 16 */
	uint8_t reg_size;  /* bytes of the register operand (MOVZX, MOVSX differ) */
	uint8_t addr_size; /* bytes */
	uint8_t reg;
	uint8_t seg; /* enum vm_segment_index of a string's source */
	bool high;   /* reg is AH, CH, DH or BH */
	bool to_mem; /* memory is the destination */
	bool has_imm, rep;
	bool writes;  /* memory; set by who decodes (emul_mem.c) */
	uint64_t imm; /* sign-extended */
};

/* mode: 2, 4 or 8, the size of addresses that CS gives. 0, or -EINVAL: not one that it knows. */
int __must_check emul_decode_fast(struct emul_insn *i, const uint8_t *bytes, unsigned count,
                                  unsigned mode);
int __must_check emul_decode_full(struct emul_insn *i, const uint8_t *bytes, unsigned count,
                                  unsigned mode);

/* The memory operand, wherever it is. Values of 16 bytes go in two pieces of 8, low first. */
struct emul_operand {
	uint64_t (*read)(struct emul_operand *m, unsigned offset, unsigned size);
	void (*write)(struct emul_operand *m, unsigned offset, unsigned size, uint64_t value);
};
/* XMM register n, in pieces of 8 bytes. */
struct emul_vector {
	uint64_t (*get)(struct emul_vector *x, unsigned reg, unsigned half);
	void (*set)(struct emul_vector *x, unsigned reg, unsigned half, uint64_t value);
};
/* Runs anything but string instructions; gpr by number of the encoding. */
void emul_run(const struct emul_insn *i, uint64_t gpr[16], uint64_t *rflags, struct emul_operand *m,
              struct emul_vector *x);

/* A register of 1, 2, 4 or 8 bytes; writing 4 bytes clears the upper half. */
uint64_t emul_reg_get(const uint64_t gpr[16], unsigned reg, bool high, unsigned size);
void emul_reg_set(uint64_t gpr[16], unsigned reg, bool high, unsigned size, uint64_t value);
#endif
