// SPDX-License-Identifier: Apache-2.0
/*
 * Boot option bench=storage: what the datastore costs above the disk that it lies on. DESTROYS
 * every disk of the machine: each gets a datastore. Mounting, creating and opening are counted in
 * the time that this world ran; requests of a virtual disk as those of a driver (bench_drivers.c).
 * Named "ds.WHAT.SIZE" by the disk's size in GiB.
 */
#include "test/bench.h"
#include "fs/dsfs.h"
#include "fs/linux.h"
#include "fs/vfs.h"
#include "storage/ds/ds.h"
#include "vmk/boot.h"
#include "vmk/file.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/vdisk.h"
#include "vmk/world.h"

#include "vmk/log.h"

#define LOG_MODULE "bench"

enum {
	DISKS_MAX = 4,
	FEW = 10,
	MANY = 10000,
	SAMPLES = 16,
	SEQUENTIAL_ROUNDS = 200,
	GIB_SHIFT = 30
};
#define VDISK_BYTES (64ull << 20)
#define BENCH_PATH  "/vmfs/volumes/bench/"

/* This world's own time so far, interrupts on its stack included. */
static ns_t used(void)
{
	struct world_times t;

	world_times_get(world_current(), &t);
	return t.used;
}

static int mount(struct blk_dev *d)
{
	int err = blk_open(d, true);

	if (err)
		return err;
	err = dsfs_mount(d);
	if (err)
		blk_close(d, true);
	return err;
}

/* Made, mounted once, and mounted again for the figures. */
static int bench_mount(struct blk_dev *d)
{
	static uint8_t uuid[16] = "bench volume 00";
	struct blk_stats before, after;
	char what[32];

	uuid[13]++;
	int err = blk_open(d, true);

	if (err)
		return err;
	err = ds_format(d, "bench", uuid);
	blk_close(d, true);
	err = err ? err : mount(d);
	err = err ? err : dsfs_unmount(d);
	if (err)
		return err;
	blk_stats_get(d, &before);
	ns_t start = used();

	err = mount(d);
	ns_t cost = used() - start;

	blk_stats_get(d, &after);
	vmk_snprintf(what, sizeof(what), "mount.%llug",
	             (unsigned long long)(blk_size(d) >> GIB_SHIFT));
	bench_report("ds", what, (uint64_t)cost, 1, "instructions");
	vmk_snprintf(what, sizeof(what), "mount.%llug.reads",
	             (unsigned long long)(blk_size(d) >> GIB_SHIFT));
	bench_report("ds", what, after.ops[BLK_READ] - before.ops[BLK_READ], 1, "requests");
	return err;
}

static uint64_t median(uint64_t *value, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		for (unsigned k = i; k && value[k] < value[k - 1]; k--) {
			uint64_t v = value[k];

			value[k] = value[k - 1];
			value[k - 1] = v;
		}
	return value[n / 2];
}

/*
 * Opens the files number first, first + step ... of a directory; the cost of one without its close,
 * the median: an open that finds the transaction full writes it out for all those before it.
 */
static int open_files(unsigned files, unsigned first, unsigned step, unsigned flags, ns_t *each)
{
	uint64_t cost[SAMPLES];
	char path[64];
	unsigned n = 0;

	for (unsigned i = first; n < SAMPLES && i < first + step * SAMPLES; i += step, n++) {
		struct file *f;

		vmk_snprintf(path, sizeof(path), BENCH_PATH "%u/file-%u", files, i);
		ns_t start = used();
		int err = vfs_open(path, flags, 0644, &f);

		cost[n] = (uint64_t)(used() - start);
		if (err)
			return err;
		file_put(f);
	}
	*each = (ns_t)median(cost, n);
	return 0;
}

/*
 * Create and open in a directory that holds `files` already; opened after a mount, and once more.
 */
static int bench_names(struct blk_dev *d, unsigned files)
{
	char what[32], path[64];
	ns_t create = 0, cold = 0, warm = 0;

	vmk_snprintf(path, sizeof(path), BENCH_PATH "%u", files);
	int err = vfs_mkdir(path, 0755);

	for (unsigned i = 0; i < files && !err; i++) {
		struct file *f;

		vmk_snprintf(path, sizeof(path), BENCH_PATH "%u/file-%u", files, i);
		err = vfs_open(path, O_CREAT | O_RDWR, 0644, &f);
		if (!err)
			file_put(f);
	}
	err = err ? err : open_files(files, files, 1, O_CREAT | O_RDWR, &create);
	err = err ? err : dsfs_unmount(d);
	err = err ? err : mount(d);
	unsigned step = MAX(1u, files / SAMPLES);

	err = err ? err : open_files(files, 0, step, O_RDONLY, &cold);
	err = err ? err : open_files(files, 0, step, O_RDONLY, &warm);
	if (err)
		return err;
	vmk_snprintf(what, sizeof(what), "create.%u", files);
	bench_report("ds", what, (uint64_t)create, 1, "instructions");
	vmk_snprintf(what, sizeof(what), "open.%u", files);
	bench_report("ds", what, (uint64_t)warm, 1, "instructions");
	vmk_snprintf(what, sizeof(what), "open_unread.%u", files);
	bench_report("ds", what, (uint64_t)cold, 1, "instructions");
	return 0;
}

static void bench_random(struct bench_io *disk, struct bench_io *vdisk, enum blk_op op)
{
	const char *name = op == BLK_READ ? "read4k" : "write4k";
	char what[48];

	for (unsigned depth = 1; depth <= BENCH_DEPTH; depth *= BENCH_DEPTH) {
		uint64_t own = bench_io_random(disk, op, depth, VDISK_BYTES);
		uint64_t cost = bench_io_random(vdisk, op, depth, VDISK_BYTES);

		vmk_snprintf(what, sizeof(what), "%s.depth%u", name, depth);
		bench_report("vdisk", what, cost, 1, "instructions");
		vmk_snprintf(what, sizeof(what), "%s.depth%u.above", name, depth);
		bench_report("vdisk", what, cost > own ? cost - own : 0, 1, "instructions");
	}
}

/*
 * Turn by turn, now one first, now the other: the ratio of bandwidths in thousandths, the median of
 * all turns.
 */
static int bench_sequential(struct bench_io *disk, struct bench_io *vdisk, enum blk_op op)
{
	uint64_t ratio[SEQUENTIAL_ROUNDS];

	for (unsigned i = 0; i < SEQUENTIAL_ROUNDS; i++) {
		ns_t first = bench_io_sequential(i & 1 ? vdisk : disk, op, VDISK_BYTES);
		ns_t second = bench_io_sequential(i & 1 ? disk : vdisk, op, VDISK_BYTES);

		if (!first || !second)
			return -EIO;
		ratio[i] = i & 1 ? (uint64_t)second * 1000 / (uint64_t)first
		                 : (uint64_t)first * 1000 / (uint64_t)second;
	}
	bench_report("vdisk", op == BLK_READ ? "sequential.read" : "sequential.write",
	             median(ratio, SEQUENTIAL_ROUNDS), 1, "per_1000");
	return 0;
}

/* Where the file's contents lie on the device, side by side; 0: they do not. */
static uint64_t place_of(const char *path)
{
	struct ds_map_entry first, e;
	struct file *f;

	if (vfs_open(path, O_RDONLY, 0, &f))
		return 0;
	int err = ds_lookup(dsfs_file(f), 0, &first);

	for (uint64_t i = 1; i < VDISK_BYTES / DS_BLOCK && !err; i++) {
		err = ds_lookup(dsfs_file(f), i, &e);
		if (!err && e.block != first.block + i)
			err = -ERANGE;
	}
	file_put(f);
	return err ? 0 : first.block * DS_BLOCK;
}

/* A virtual disk on the mounted datastore beside its device, the same places of it. */
static int bench_vdisk(struct blk_dev *d)
{
	static const char path[] = BENCH_PATH "disk";
	struct bench_io *disk = NULL, *io = NULL;
	struct vdisk *v = NULL;
	struct file *f;
	int err = vfs_open(path, O_CREAT | O_RDWR, 0644, &f);

	if (err)
		return err;
	/* Blocks before their contents, so that they lie side by side. */
	err = ds_allocate(dsfs_file(f), 0, VDISK_BYTES, false);
	file_put(f);
	uint64_t place = err ? 0 : place_of(path);

	if (!err && !place)
		err = -ERANGE;
	err = err ? err : vdisk_open(path, 0, &v);
	err = err ? err : bench_io_open(d, v, 0, &io);
	err = err ? err : bench_io_open(d, NULL, place, &disk);
	/* From the first write on there is nothing to publish. */
	if (!err && !bench_io_sequential(io, BLK_WRITE, VDISK_BYTES))
		err = -EIO;
	for (unsigned op = BLK_READ; op <= BLK_WRITE && !err; op++) {
		bench_random(disk, io, (enum blk_op)op);
		err = bench_sequential(disk, io, (enum blk_op)op);
	}
	if (disk)
		bench_io_close(disk);
	if (io)
		bench_io_close(io);
	if (v)
		vdisk_close(v);
	return err;
}

struct disks {
	struct blk_dev *disk[DISKS_MAX];
	unsigned count;
};

static void find_disk(struct blk_dev *d, void *arg)
{
	struct disks *f = arg;

	if (!d->parent && f->count < DISKS_MAX)
		f->disk[f->count++] = d;
}

void bench_storage_run(void)
{
	struct disks f = { .count = 0 };
	uint64_t flags = irq_save();

	bench_calibrate();
	irq_restore(flags);
	blk_for_each(find_disk, &f);
	for (unsigned i = 0; i < f.count; i++) {
		struct blk_dev *d = f.disk[i];
		int err = bench_mount(d);

		if (!err && !i) {
			err = bench_names(d, FEW);
			err = err ? err : bench_names(d, MANY);
			err = err ? err : bench_vdisk(d);
		}
		err = err ? err : dsfs_unmount(d);
		if (err)
			log_err("%s: error %d", d->id, -err);
	}
}
