// SPDX-License-Identifier: Apache-2.0
/*
 * The log as files: a world appends what is new to /var/log/vmkernel.log once somebody has made
 * that file (the boot scripts, when /var/log is where it will stay), and begins a new one at
 * FILE_MAX; the last FILES - 1 are kept as .1, .2 ... The record of an earlier run's panic goes to
 * /var/core in the same way, once that folder is there.
 */
#include "fs/logfile.h"

#include "fs/vfs.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/panic.h"
#include "vmk/string.h"
#include "vmk/world.h"

#define LOG_MODULE "logfile"
#define LOG_PATH   "/var/log/vmkernel.log"
#define CORE_PATH  "/var/core/vmkernel-panic.txt"

enum { BUFFER = 16 * 1024, FILE_MAX = 1 << 20, FILES = 4 };

static struct mutex lock;
static char *buffer;
static uint64_t sequence;

static void rotate(const char *path)
{
	char from[40], to[40];

	for (unsigned i = FILES - 1; i; i--) {
		vmk_snprintf(from, sizeof(from), i > 1 ? "%s.%u" : "%s", path, i - 1);
		vmk_snprintf(to, sizeof(to), "%s.%u", path, i);
		(void)!vfs_rename(vfs_root, from, vfs_root, to, 0); /* there may be fewer yet */
	}
}

static ssize_t append(const char *text, size_t n, unsigned create)
{
	struct vstat st;
	struct file *f;
	struct uio u;
	ssize_t done = vfs_open(LOG_PATH, O_WRONLY | O_APPEND | create, 0644, &f);

	if (done)
		return done;
	uio_init_kernel(&u, (void *)(uintptr_t)text, n);
	done = file_write(f, &u, NULL);
	inode_stat(f->inode, &st);
	file_put(f);
	if (done > 0 && st.size >= FILE_MAX)
		rotate(LOG_PATH);
	return done;
}

/*
 * Moves the record into a file. It is written under another name first, so that a volume without
 * room does not rotate away what it has; what fails is tried again, a second later.
 */
static void keep_panic(void)
{
	size_t len;
	const char *text = panic_record(&len);
	struct file *f;
	struct uio u;
	ssize_t done;

	if (!text || vfs_open(CORE_PATH ".part", O_WRONLY | O_CREAT | O_TRUNC, 0600, &f))
		return;
	uio_init_kernel(&u, (void *)(uintptr_t)text, len);
	done = file_write(f, &u, NULL);
	file_put(f);
	if (done != (ssize_t)len)
		return;
	rotate(CORE_PATH);
	if (vfs_rename(vfs_root, CORE_PATH ".part", vfs_root, CORE_PATH, 0) == 0)
		panic_record_done();
}

/* Lines that could not be written are tried again. */
void logfile_flush(void)
{
	static bool begun;

	mutex_lock(&lock);
	for (;;) {
		uint64_t next = sequence;
		size_t n = log_read(&next, buffer, BUFFER);

		if (n == 0 || append(buffer, n, begun ? O_CREAT : 0) < 0)
			break;
		begun = true;
		sequence = next;
	}
	mutex_unlock(&lock);
}

static void logfile_world(void *arg)
{
	for (;;) {
		world_sleep_until(time_now() + NS_PER_S);
		logfile_flush();
		keep_panic();
	}
}

void logfile_init(void)
{
	const struct world_attr attr = { .name = "logfile", .cpu = -1, .fn = logfile_world };
	struct world *w;

	mutex_init(&lock, "logfile");
	buffer = vmalloc(BUFFER);
	if (!buffer || world_create(&attr, &w) != 0) {
		log_err("no memory to keep the log in files");
		return;
	}
	world_start(w);
	world_put(w);
}
