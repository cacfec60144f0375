// SPDX-License-Identifier: Apache-2.0
/* Text that is made up when it is read: a growing buffer, and an open file over one. */
#include "fs/genfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { TEXT_FIRST = 1024, TEXT_MAX = 4 << 20 };

static bool text_grow(struct text_buf *t, size_t need)
{
	size_t size = t->size ? t->size : TEXT_FIRST;
	char *p;

	while (size < need)
		size *= 2;
	if (size == t->size)
		return true;
	p = size <= TEXT_MAX ? kmalloc(size) : NULL;
	if (!p) {
		t->error = -ENOMEM;
		return false;
	}
	if (t->len)
		memcpy(p, t->p, t->len);
	kfree(t->p);
	t->p = p;
	t->size = size;
	return true;
}

void text_printf(struct text_buf *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (t->error || !text_grow(t, t->len + 1))
		return;
	va_start(ap, fmt);
	n = vmk_vsnprintf(t->p + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	/* It did not fit: the length is known now, so one more try suffices. */
	if (t->len + (size_t)n >= t->size) {
		if (!text_grow(t, t->len + (size_t)n + 1))
			return;
		va_start(ap, fmt);
		n = vmk_vsnprintf(t->p + t->len, t->size - t->len, fmt, ap);
		va_end(ap);
	}
	t->len += (size_t)n;
}

void text_append(struct text_buf *t, const void *data, size_t n)
{
	if (t->error || !text_grow(t, t->len + n + 1))
		return;
	memcpy(t->p + t->len, data, n);
	t->len += n;
}

static ssize_t text_read(const struct text_buf *t, struct uio *u, uint64_t *pos)
{
	size_t n = *pos < t->len ? MIN(t->len - (size_t)*pos, u->left) : 0;
	int err = n ? uio_write(u, t->p + *pos, n) : 0;

	if (err)
		return err;
	*pos += n;
	return (ssize_t)n;
}

static ssize_t text_file_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct text_file *tf = f->priv;
	ssize_t got;

	mutex_lock(&f->inode->lock); /* pread comes without pos_lock */
	/*
	 * A text is made at the begin of reading and stays the same until the reader begins anew.
	 */
	if (*pos == 0 || !tf->t.p) {
		tf->t.len = 0;
		tf->t.error = 0;
		tf->fill(&tf->t, tf->arg);
	}
	got = tf->t.error ? tf->t.error : text_read(&tf->t, u, pos);
	mutex_unlock(&f->inode->lock);
	return got;
}

static void text_file_release(struct file *f)
{
	struct text_file *tf = f->priv;

	if (tf->put)
		tf->put(tf->arg);
	kfree(tf->t.p);
	kfree(tf);
}

static ssize_t text_file_write(struct file *f, struct uio *u, uint64_t *pos)
{
	return -EACCES;
}

static const struct file_ops text_ops = { .name = "text",
	                                  .read = text_file_read,
	                                  .write = text_file_write,
	                                  .release = text_file_release };

int text_file_open(struct file *f, void (*fill)(struct text_buf *, void *), void *arg,
                   void (*put)(void *))
{
	struct text_file *tf = kzalloc(sizeof(*tf));

	if (!tf)
		return -ENOMEM;
	tf->fill = fill;
	tf->arg = arg;
	tf->put = put;
	f->priv = tf;
	f->ops = &text_ops;
	return 0;
}
