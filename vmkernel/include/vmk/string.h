// SPDX-License-Identifier: Apache-2.0
/* Memory and string functions (vmkernel/lib/string.c) and formatted printing (lib/printf.c). */
#ifndef VMK_STRING_H
#define VMK_STRING_H
#include "vmk/types.h"
#ifdef VMK_HOST
#include <string.h>
#else
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
char *strstr(const char *hay, const char *needle);
#endif
/* Copies at most size-1 bytes and always terminates; returns strlen(src) (>= size: truncated). */
size_t str_copy(char *dst, const char *src, size_t size);
/* Decimal, 0x hex or 0 octal; 0 or -EINVAL/-ERANGE; the whole string must be a number. */
int __must_check str_to_u64(const char *s, uint64_t *out);
/*
 * %d %i %u %x %X %o %c %s %p %% with width, precision, '-', '0', '+', ' ', '#', h hh l ll z t j;
 * no floating point. Returns the length that the whole text would have.
 */
int vmk_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
int vmk_snprintf(char *buf, size_t size, const char *fmt, ...) __printf(3, 4);
#endif
