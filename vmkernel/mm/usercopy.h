// SPDX-License-Identifier: Apache-2.0
/*
 * Single words in user memory, for futexes and what the C library shares with the kernel. See
 * vmk/uio.h.
 */
#ifndef MM_USERCOPY_H
#define MM_USERCOPY_H
#include "vmk/uio.h"

/* One atomic access to a naturally aligned word. 0 or -EFAULT. */
int __must_check user_read32(uva_t src, uint32_t *out);
/* Compare and exchange; *expected becomes what was there. 0 or -EFAULT. */
int __must_check user_exchange32(uva_t p, uint32_t *expected, uint32_t desired);
#define user_read(dst, src)  copy_from_user((dst), (src), sizeof(*(dst)))
#define user_write(dst, src) copy_to_user((dst), (src), sizeof(*(src)))
#endif
