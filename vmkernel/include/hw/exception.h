// SPDX-License-Identifier: Apache-2.0
/*
 * Exceptions: vectors and error codes, for the host's own and for those that a guest gets.
 * Spec: Intel SDM 3A 6.15, 4.7.
 */
#ifndef HW_EXCEPTION_H
#define HW_EXCEPTION_H

enum {
	VEC_DE = 0,
	VEC_DB = 1,
	VEC_NMI = 2,
	VEC_BP = 3,
	VEC_OF = 4,
	VEC_BR = 5,
	VEC_UD = 6,
	VEC_NM = 7,
	VEC_DF = 8,
	VEC_TS = 10,
	VEC_NP = 11,
	VEC_SS = 12,
	VEC_GP = 13,
	VEC_PF = 14,
	VEC_MF = 16,
	VEC_AC = 17,
	VEC_MC = 18,
	VEC_XM = 19,
	VEC_CP = 21,
	VEC_EXCEPTIONS = 32, /* vectors below this are the CPU's own */
};

/* Page-fault error code. */
enum { PF_PRESENT = 1, PF_WRITE = 2, PF_USER = 4, PF_RESERVED = 8, PF_FETCH = 16 };
#endif
