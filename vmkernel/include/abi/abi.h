// SPDX-License-Identifier: Apache-2.0
/*
 * Base of the headers that Python parses too (cffi cdef). Rules: fixed-width types, natural
 * alignment, explicit padding, constants as enumerators, no packed, no attributes, no inline
 * functions, no bit-fields. ABI_SIZE asserts vanish for cffi; so do the lines that only C
 * understands.
 */
#ifndef ABI_ABI_H
#define ABI_ABI_H
#ifdef ABI_PARSE
#define ABI_SIZE(type, size)
#else
#include <stddef.h>
#include <stdint.h>
#define ABI_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif
#endif
