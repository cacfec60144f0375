// SPDX-License-Identifier: Apache-2.0
/*
 * Memory that a read or a write goes to: user memory of the current process or kernel memory, in
 * one or several pieces; and the checked copies between user and kernel memory. Every user pointer
 * passes here.
 */
#ifndef VMK_UIO_H
#define VMK_UIO_H
#include "vmk/types.h"

/* 0 or -EFAULT; may sleep for a page (worlds only, no spin locks). */
int __must_check copy_from_user(void *dst, uva_t src, size_t n);
int __must_check copy_to_user(uva_t dst, const void *src, size_t n);
/* Length without the 0, or -EFAULT, or -ENAMETOOLONG when size bytes hold no 0. */
ssize_t __must_check copy_string_from_user(char *dst, uva_t src, size_t size);

struct uio_vec {
	uint64_t base; /* uva_t or kernel pointer */
	uint64_t len;
};

struct uio {
	const struct uio_vec *vec;
	unsigned count;     /* pieces left */
	size_t skip;        /* bytes of vec[0] already done */
	size_t left;        /* bytes left in all */
	bool kernel;        /* pieces are kernel memory */
	struct uio_vec one; /* for the usual single piece */
};

void uio_init_user(struct uio *u, uva_t base, size_t len);
void uio_init_kernel(struct uio *u, void *base, size_t len);
void uio_init_vec(struct uio *u, const struct uio_vec *vec, unsigned count); /* user */
/* Copy and advance: 0 or -EFAULT (then nothing is advanced). n <= u->left. */
int __must_check uio_read(struct uio *u, void *dst, size_t n);        /* from the pieces */
int __must_check uio_write(struct uio *u, const void *src, size_t n); /* to the pieces */
void uio_advance(struct uio *u, size_t n);
#endif
