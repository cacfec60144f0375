// SPDX-License-Identifier: Apache-2.0
/*
 * Checked copies to and from user memory, and scattered buffers. A copy goes to the address space
 * that CR3 holds, which for a userworld's thread is its process's; kernel worlds must not call
 * these. No locks of its own; a page fault inside a copy takes aspace->lock.
 */
#include "vmk/uio.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/string.h"

/* usercopy.S */
int user_copy(void *dst, const void *src, size_t n);
int user_load32(const uint32_t *src, uint32_t *out);
int user_cmpxchg32(uint32_t *p, uint32_t *expected, uint32_t desired);

/*
 * The whole range lies in the user half. Without this check the instructions in usercopy.S, which
 * run in ring 0, would copy kernel memory.
 */
static bool user_range(uva_t va, size_t n)
{
	return n <= USER_END && va <= USER_END - n;
}

static void *user_ptr(uva_t va)
{
	return (void *)(uintptr_t)va;
}

int copy_from_user(void *dst, uva_t src, size_t n)
{
	return user_range(src, n) ? user_copy(dst, user_ptr(src), n) : -EFAULT;
}

int copy_to_user(uva_t dst, const void *src, size_t n)
{
	return user_range(dst, n) ? user_copy(user_ptr(dst), src, n) : -EFAULT;
}

int user_read32(uva_t src, uint32_t *out)
{
	return user_range(src, 4) && src % 4 == 0 ? user_load32(user_ptr(src), out) : -EFAULT;
}

int user_exchange32(uva_t p, uint32_t *expected, uint32_t desired)
{
	return user_range(p, 4) && p % 4 == 0 ? user_cmpxchg32(user_ptr(p), expected, desired)
	                                      : -EFAULT;
}

ssize_t copy_string_from_user(char *dst, uva_t src, size_t size)
{
	enum { PIECE = 128 };
	size_t done = 0;

	while (done < size) {
		/*
		 * Pieces end at multiples of PIECE, hence at page boundaries: the page after the
		 * one that holds the terminating 0 need not be mapped.
		 */
		size_t room = MIN(PIECE - (src + done) % PIECE, size - done);
		const char *end;
		int err = copy_from_user(dst + done, src + done, room);

		if (err)
			return err;
		end = memchr(dst + done, 0, room);
		if (end)
			return end - dst;
		done += room;
	}
	return -ENAMETOOLONG;
}

void uio_init_vec(struct uio *u, const struct uio_vec *vec, unsigned count)
{
	*u = (struct uio){ .vec = vec, .count = count };
	for (unsigned i = 0; i < count; i++)
		u->left += vec[i].len;
}

void uio_init_user(struct uio *u, uva_t base, size_t len)
{
	*u = (struct uio){ .count = 1, .left = len, .one = { base, len } };
	u->vec = &u->one;
}

void uio_init_kernel(struct uio *u, void *base, size_t len)
{
	uio_init_user(u, (uintptr_t)base, len);
	u->kernel = true;
}

void uio_advance(struct uio *u, size_t n)
{
	/* n counts from the start of the first piece; >= drops empty pieces as well. */
	u->left -= n;
	n += u->skip;
	while (u->count && n >= u->vec->len) {
		n -= u->vec->len;
		u->vec++;
		u->count--;
	}
	u->skip = n;
}

/*
 * Copies piece by piece and advances at the end, so that a fault in a later piece leaves u where it
 * was and the caller may try again.
 */
static int uio_copy(struct uio *u, void *buf, size_t n, bool to_pieces)
{
	const struct uio_vec *v = u->vec;
	size_t skip = u->skip, done = 0;
	int err = 0;

	while (done < n && !err) {
		size_t piece = MIN(v->len - skip, n - done);
		uint64_t at = v->base + skip;
		char *p = (char *)buf + done;

		if (!u->kernel)
			err = to_pieces ? copy_to_user(at, p, piece) : copy_from_user(p, at, piece);
		else if (to_pieces)
			memcpy(user_ptr(at), p, piece);
		else
			memcpy(p, user_ptr(at), piece);
		done += piece;
		skip = 0;
		v++;
	}
	if (!err)
		uio_advance(u, n);
	return err;
}

int uio_read(struct uio *u, void *dst, size_t n)
{
	return uio_copy(u, dst, n, false);
}

int uio_write(struct uio *u, const void *src, size_t n)
{
	return uio_copy(u, (void *)(uintptr_t)src, n, true);
}
