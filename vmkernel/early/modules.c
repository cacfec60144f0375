// SPDX-License-Identifier: Apache-2.0
/* Boot modules that were packed as LZ4 frames; what lies in a loader's file may be anything. */
#include "vmk/boot.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/lz4frame.h"

#define LOG_MODULE "boot"

static int unpack(struct boot_module *m, const void *frame)
{
	uint64_t size = lz4frame_size(frame, m->file_len);
	int err;

	m->len = 0;
	if (!size || size > DIRECT_SIZE)
		return -EINVAL;
	m->base = boot_alloc(size, PAGE_SIZE, PA_NONE, -1);
	if (m->base == PA_NONE)
		return -ENOMEM;
	err = lz4frame_unpack(frame, m->file_len, direct_va(m->base), size);
	if (err)
		boot_release(m->base, size);
	else
		m->len = size;
	return err;
}

void boot_unpack_modules(void)
{
	bool installed = boot_option("bootbank", NULL, 0);

	for (unsigned i = 0; i < boot_info.modules; i++) {
		struct boot_module *m = &boot_info.module[i];
		const void *frame = direct_va(m->file);
		int err;

		if (!lz4frame_here(frame, m->file_len))
			continue;
		err = unpack(m, frame);
		if (err) {
			log_err("%s: cannot unpack the module: error %d", m->name, -err);
		} else if (installed) {
			/*
			 * Nobody writes an image from here any more: the packed form is only
			 * memory.
			 */
			boot_release(m->file, m->file_len);
			m->file_len = 0;
		}
	}
}
