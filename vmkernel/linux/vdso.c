// SPDX-License-Identifier: Apache-2.0
/*
 * Maps the vDSO (vdso_user.c) into new programs where the TSC is reliable: a page with a struct
 * time_page, then the image. One object for all; the areas are private, so what a program writes
 * there is its own copy.
 */
#include "mm/aspace.h"
#include "linux/exec.h"
#include "linux/init.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "vmk/time.h"

#define LOG_MODULE "user"

extern const uint8_t vdso_image[], vdso_image_end[];
__asm__(".pushsection .rodata\n"
        "vdso_image: .incbin \"build/gen/vdso.so\"\n"
        "vdso_image_end:\n"
        ".popsection");

static struct memobj *object; /* NULL: there is no vDSO */

/* The page of the object, for ever. */
static void *page(struct memobj *o, uint64_t index)
{
	pa_t pa;

	mutex_lock(&o->lock);
	pa = o->ops->page(o, index, true);
	mutex_unlock(&o->lock);
	return pa == PA_NONE ? NULL : pa_to_va(pa);
}

void vdso_init(void)
{
	size_t size = (size_t)(vdso_image_end - vdso_image);
	struct memobj *o;
	void *to;

	if (!time_tsc_reliable())
		return;
	if (memobj_create_anon(1 + DIV_UP(size, (size_t)PAGE_SIZE), &o))
		panic("no memory for the vDSO");
	/* Page 0 is the time page, the image follows: vdso.ld counts on that distance. */
	for (uint64_t i = 0; i < o->pages; i++) {
		to = page(o, i);
		if (!to)
			panic("no memory for the vDSO");
		if (i == 0)
			time_share(to);
		else
			memcpy(to, vdso_image + (i - 1) * PAGE_SIZE,
			       MIN(size - (i - 1) * PAGE_SIZE, (size_t)PAGE_SIZE));
	}
	object = o;
}

int vdso_map(struct aspace *as, uva_t *image)
{
	int64_t at;

	*image = 0;
	if (!object)
		return 0;
	at = aspace_map(as, 0, object->pages << PAGE_SHIFT, AREA_READ, object, 0);
	if (at < 0)
		return (int)at;
	*image = (uva_t)at + PAGE_SIZE;
	return aspace_protect(as, *image, (object->pages - 1) << PAGE_SHIFT, AREA_READ | AREA_EXEC);
}
