// SPDX-License-Identifier: Apache-2.0
/* A memory object as an open file: what the control socket hands to a userworld, which maps it. */
#include "vmk/errno.h"
#include "vmk/file.h"
#include "vmk/memobj.h"

static int object_mmap(struct file *f, uint64_t offset, uint64_t len, unsigned prot __maybe_unused,
                       bool shared, struct memobj **obj, uint64_t *obj_offset)
{
	struct memobj *o = f->priv;

	if (!shared)
		return -EINVAL;
	if (offset > o->pages << PAGE_SHIFT || len > (o->pages << PAGE_SHIFT) - offset)
		return -ENXIO;
	*obj = o;
	*obj_offset = offset;
	return 0;
}

static void object_release(struct file *f)
{
	memobj_put(f->priv);
}

static const struct file_ops object_ops = { .name = "memobj",
	                                    .mmap = object_mmap,
	                                    .release = object_release };

int memobj_file(struct memobj *o, struct file **out)
{
	enum { O_RDWR = 2 };
	int err = file_alloc(&object_ops, memobj_get(o), O_RDWR, out);

	if (err)
		memobj_put(o);
	return err;
}
