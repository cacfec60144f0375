// SPDX-License-Identifier: Apache-2.0
/* Collecting the strings that execve hands over, while the old memory is still there. */
#include "linux/exec.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/random.h"
#include "vmk/string.h"

/* Room for n more bytes. */
static int reserve(struct exec_args *a, size_t n)
{
	size_t size = MAX(a->size, (size_t)(16 * KiB));
	char *grown;

	/* The bound on what one execve takes of the kernel's memory. */
	if (a->len + n > EXEC_STRINGS_MAX)
		return -E2BIG;
	if (a->buf && a->len + n <= a->size)
		return 0;
	while (size < a->len + n)
		size *= 2;
	grown = vmalloc(size);
	if (!grown)
		return -ENOMEM;
	memcpy(grown, a->buf, a->len);
	if (a->buf)
		vfree(a->buf);
	a->buf = grown;
	a->size = size;
	return 0;
}

int exec_args_add(struct exec_args *a, const char *s)
{
	size_t n = strlen(s) + 1;
	int err = reserve(a, n);

	if (err)
		return err;
	memcpy(a->buf + a->len, s, n);
	a->len += n;
	return 0;
}

static int add_user_string(struct exec_args *a, uva_t s)
{
	/* Its length is not known before it is copied, and it may change: retry with more room. */
	for (size_t room = 256;; room *= 4) {
		int err = reserve(a, room);
		ssize_t n;

		if (err)
			return err;
		n = copy_string_from_user(a->buf + a->len, s, a->size - a->len);
		if (n >= 0) {
			a->len += (size_t)n + 1;
			return 0;
		}
		if (n != -ENAMETOOLONG)
			return (int)n;
		room = MAX(room, a->size - a->len);
	}
}

int exec_args_add_user(struct exec_args *a, uva_t array, unsigned skip, unsigned *count)
{
	for (unsigned i = 0; array; i++) {
		uint64_t s;
		int err = user_read(&s, array + i * sizeof(s));

		/* Ends with the NULL; EXEC_STRINGS_MAX bounds what comes before. */
		if (err || !s)
			return err;
		if (i < skip)
			continue;
		err = add_user_string(a, s);
		if (err)
			return err;
		++*count;
	}
	return 0;
}

int exec_args_add_kernel(struct exec_args *a, const char *const *array, unsigned skip,
                         unsigned *count)
{
	for (unsigned i = skip; array[i]; i++) {
		int err = exec_args_add(a, array[i]);

		if (err)
			return err;
		++*count;
	}
	return 0;
}

int exec_args_finish(struct exec_args *a, const char *execfn)
{
	int err;

	a->execfn_at = a->len;
	err = exec_args_add(a, execfn);
	if (err)
		return err;
	a->platform_at = a->len;
	err = exec_args_add(a, "x86_64");
	if (!err)
		err = reserve(a, 32);
	if (err)
		return err;
	/* AT_RANDOM: 16 bytes, from which the C library makes its stack protector's canary. */
	a->random_at = a->len;
	random_bytes(a->buf + a->len, 16);
	a->len += 16;
	return 0;
}

void exec_args_free(struct exec_args *a)
{
	if (a->buf)
		vfree(a->buf);
}
