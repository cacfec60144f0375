// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual disks in host tests: files are found by inode number, requests lie in frames of the
 * test's own.
 */
#include "simvdisk.h"

#include "seam.h"
#include "storage/ds/ds.h"
#include "vmk/mm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ds *the_ds;

static int find(const char *path, bool read_only, struct ds_file **f, void **held)
{
	int err = ds_file_open(the_ds, strtoull(path, NULL, 10), f);

	*held = *f;
	return err;
}

static void let_go(void *held)
{
	ds_file_close(held);
}

static const struct vdisk_source source = { find, let_go };

struct vdisk *disk_open(struct ds *ds, uint64_t inode, unsigned flags, int *error)
{
	struct vdisk *d = NULL;
	char path[32];

	the_ds = ds;
	vdisk_set_source(&source);
	snprintf(path, sizeof(path), "%lu", inode);
	*error = vdisk_open(path, flags, &d);
	return *error ? NULL : d;
}

pa_t disk_pa;
static bool over;
static void finished(struct vdisk_req *r)
{
	over = true;
}

int disk_io(struct vdisk *d, unsigned op, uint64_t off, uint8_t *buf, uint64_t len, uint32_t piece)
{
	unsigned count = buf ? (len + piece - 1) / piece : 0;
	struct sg *sg = calloc(count + 1, sizeof(*sg));
	struct vdisk_req r = {
		.blk = { .op = op, .offset = off, .len = len, .sg = sg, .sg_count = count },
		.done = finished
	};

	for (unsigned i = 0; i < count; i++) {
		sg[i].len = MIN(len - (uint64_t)i * piece, (uint64_t)piece);
		sg[i].pa = page_alloc(0, FRAME_DMA, 0) + (sg[i].len < 4096 ? 512 : 0);
		memcpy(pa_to_va(sg[i].pa), buf + (uint64_t)i * piece, sg[i].len);
	}
	disk_pa = count ? sg[0].pa : 0;
	over = false;
	vdisk_submit(d, &r);
	while (!over && seam_run_bottoms() + seam_run_work())
		;
	for (unsigned i = 0; i < count; i++) {
		memcpy(buf + (uint64_t)i * piece, pa_to_va(sg[i].pa), sg[i].len);
		page_free(sg[i].pa & ~4095ull, 0);
	}
	free(sg);
	return over ? r.blk.status : -999;
}
