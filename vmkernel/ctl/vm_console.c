// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's console as an open file: reads give what the guest wrote and 0 at the VM's end, writes
 * are its input. Both sleep, but for O_NONBLOCK. Several may be attached; each byte goes to one of
 * them.
 */
#include "ctl/vm_console.h"
#include "vdev/vconsole.h"
#include "vmk/errno.h"
#include "fs/linux.h"
#include "vmk/file.h"
#include "vmk/mm.h"

enum { PIECE = 256 };

struct attached {
	struct vm *vm;
	struct vconsole *console;
};

static ssize_t console_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct attached *a = f->priv;
	struct vconsole *c = a->console;
	uint8_t buf[PIECE];
	bool end = false;
	size_t n;
	int err;

	for (;;) {
		/* The end is reported only after everything before it was read. */
		n = vconsole_read(c, buf, MIN(u->left, sizeof(buf)), &end);
		if (n || end || !u->left)
			break;
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		err = wait_event_interruptible(&c->waitq,
		                               READ_ONCE(c->out.count) || READ_ONCE(c->closed));
		if (err)
			return -ERESTARTSYS;
	}
	err = n ? uio_write(u, buf, n) : 0;
	return err ? err : (ssize_t)n;
}

static ssize_t console_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct attached *a = f->priv;
	struct vconsole *c = a->console;
	ssize_t done = 0;

	while (u->left) {
		uint8_t buf[PIECE];
		size_t n = MIN(MIN(u->left, sizeof(buf)), (size_t)vconsole_space(c));
		int err = n ? uio_read(u, buf, n) : 0;

		if (err)
			return done ? done : err;
		/*
		 * Another writer may have been faster: what did not fit is dropped, as on a real
		 * line.
		 */
		if (n)
			vconsole_write(c, buf, n);
		done += (ssize_t)n;
		if (n)
			continue;
		/*
		 * Only when nothing fitted: what the guest still takes is delivered before its end
		 * is reported.
		 */
		if (READ_ONCE(c->closed))
			return done ? done : -EIO;
		if (done || (f->flags & O_NONBLOCK))
			return done ? done : -EAGAIN;
		if (wait_event_interruptible(&c->waitq, vconsole_space(c) || READ_ONCE(c->closed)))
			return -ERESTARTSYS;
	}
	return done;
}

static unsigned console_poll(struct file *f, struct waitq **q)
{
	struct attached *a = f->priv;
	struct vconsole *c = a->console;
	unsigned bits = 0;

	/* Hints, read without the console's lock: a reader or writer decides under it. */
	*q = &c->waitq;
	if (READ_ONCE(c->out.count))
		bits |= FPOLLIN;
	if (READ_ONCE(c->closed))
		bits |= FPOLLIN | FPOLLHUP;
	if (vconsole_space(c))
		bits |= FPOLLOUT;
	return bits;
}

static void console_release(struct file *f)
{
	struct attached *a = f->priv;

	/* The console belongs to the VM, so it goes first. */
	vconsole_attach(a->console, false);
	vm_put(a->vm);
	kfree(a);
}

static const struct file_ops console_ops = {
	.name = "vm-console",
	.read = console_read,
	.write = console_write,
	.poll = console_poll,
	.release = console_release,
};

int vm_console_file(struct vm *vm, unsigned index, struct file **out)
{
	struct vconsole *c = vm_console(vm, index);
	struct attached *a;
	int err;

	if (!c)
		return -ENOENT;
	a = kmalloc(sizeof(*a));
	if (!a)
		return -ENOMEM;
	*a = (struct attached){ vm, c };
	err = file_alloc(&console_ops, a, 2, out); /* O_RDWR */
	if (err) {
		kfree(a);
		return err;
	}
	/*
	 * The file keeps the VM's structure, not its machine: the guest may end while it is open.
	 */
	vm_get(vm);
	vconsole_attach(c, true);
	return 0;
}
