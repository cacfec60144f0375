// SPDX-License-Identifier: Apache-2.0
/* /dev/null, zero, full, random, urandom, kmsg. Spec: Linux mem(4), null(4), full(4), random(4). */
#include "fs/vfs.h"
#include "vmk/log.h"
#include "vmk/memobj.h"
#include "vmk/mm.h"
#include "vmk/random.h"
#include "vmk/string.h"
#include "vmk/tty.h"

#define LOG_MODULE "kmsg"

enum { CHUNK = 512 };

static ssize_t null_read(struct file *f, struct uio *u, uint64_t *pos)
{
	return 0;
}

static ssize_t null_write(struct file *f, struct uio *u, uint64_t *pos)
{
	size_t n = u->left;

	uio_advance(u, n);
	return (ssize_t)n;
}

static ssize_t zero_read(struct file *f, struct uio *u, uint64_t *pos)
{
	static const char zeroes[PAGE_SIZE];
	ssize_t done = 0;

	while (u->left) {
		size_t n = MIN(u->left, sizeof(zeroes));
		int err = uio_write(u, zeroes, n);

		if (err)
			return done ? done : err;
		done += (ssize_t)n;
		/* 2 GiB may be asked for, and nothing here ever waits. */
		if (world_interrupted(world_current()))
			break;
	}
	return done;
}

static ssize_t full_write(struct file *f, struct uio *u, uint64_t *pos)
{
	return -ENOSPC;
}

static int zero_mmap(struct file *f, uint64_t offset, uint64_t len, unsigned prot, bool shared,
                     struct memobj **obj, uint64_t *obj_offset)
{
	struct memobj *o = f->priv; /* one for all mappings of this open file */
	int err = 0;

	if (!o)
		err = memobj_create_anon(DIV_UP(offset + len, (uint64_t)PAGE_SIZE), &o);
	if (err)
		return err;
	f->priv = o;
	*obj = o;
	*obj_offset = offset;
	return o->pages << PAGE_SHIFT < offset + len ? -ENXIO : 0;
}

static void zero_release(struct file *f)
{
	if (f->priv)
		memobj_put(f->priv);
}

static ssize_t random_read(struct file *f, struct uio *u, uint64_t *pos)
{
	uint8_t buf[CHUNK];
	ssize_t done = 0;
	int err = 0;

	while (u->left && !err) {
		size_t n = MIN(u->left, sizeof(buf));

		random_bytes(buf, n);
		err = uio_write(u, buf, n);
		if (!err)
			done += (ssize_t)n;
		/* A read of gigabytes must end at a signal; random(4) allows it to be short. */
		if (world_interrupted(world_current()))
			err = -EINTR;
	}
	memset(buf, 0, sizeof(buf));
	/* Keeps the compiler from leaving the clearing of dead memory out. */
	barrier();
	return done ? done : err;
}

static ssize_t random_write(struct file *f, struct uio *u, uint64_t *pos)
{
	uint8_t buf[CHUNK];
	ssize_t done = 0;

	while (u->left) {
		size_t n = MIN(u->left, sizeof(buf));
		int err = uio_read(u, buf, n);

		if (err)
			return done ? done : err;
		random_mix(buf, n);
		done += (ssize_t)n;
	}
	return done;
}

static ssize_t kmsg_write(struct file *f, struct uio *u, uint64_t *pos)
{
	char line[256];
	size_t all = u->left, n = MIN(all, sizeof(line) - 1);
	int err = uio_read(u, line, n);

	if (err)
		return err;
	line[n] = 0;
	for (size_t i = 0; i < n; i++)
		/*
		 * One record is one line, without control characters that would reach the console.
		 */
		if ((uint8_t)line[i] < ' ')
			line[i] = ' ';
	log_info("%s", line);
	return (ssize_t)all;
}

static const struct file_ops null_ops = { .name = "null", .read = null_read, .write = null_write };
static const struct file_ops zero_ops = { .name = "zero",
	                                  .read = zero_read,
	                                  .write = null_write,
	                                  .mmap = zero_mmap,
	                                  .release = zero_release };
static const struct file_ops full_ops = { .name = "full", .read = zero_read, .write = full_write };
static const struct file_ops random_ops = { .name = "random",
	                                    .read = random_read,
	                                    .write = random_write };
static const struct file_ops kmsg_ops = { .name = "kmsg", .write = kmsg_write };

static const struct mem_device {
	const char *name;
	unsigned minor;
	const struct file_ops *ops;
} devices[] = {
	{ "null", 3, &null_ops },     { "zero", 5, &zero_ops },      { "full", 7, &full_ops },
	{ "random", 8, &random_ops }, { "urandom", 9, &random_ops }, { "kmsg", 11, &kmsg_ops },
};

static int mem_open(struct inode *i, struct file *f)
{
	const struct mem_device *d = f->priv;

	f->ops = d->ops;
	f->priv = NULL;
	f->seekable = true;
	return 0;
}

int devmem_init(void)
{
	int err = 0;

	for (unsigned i = 0; !err && i < ARRAY_SIZE(devices); i++)
		err = devfs_add(devices[i].name, INODE_CHAR, 0666, DEV_MAKE(1, devices[i].minor),
		                mem_open, (void *)(uintptr_t)&devices[i]);
	return err;
}
