// SPDX-License-Identifier: Apache-2.0
/* /sys: what Debian's tools read of it. CPUs here, PCI functions in sysfs_pci.c. */
#include "fs/genfs.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/string.h"

#define LOG_MODULE "sysfs"

static struct genfs sysfs;

int sysfs_add(const char *path, void (*fn)(struct text_buf *t, void *arg), void *arg)
{
	return genfs_add(&sysfs, path, &(struct gennode){ .text = fn, .arg = arg }, S_IFREG | 0444,
	                 PAGE_SIZE);
}

int sysfs_add_bin(const char *path, size_t size,
                  ssize_t (*read)(void *arg, uint64_t off, void *buf, size_t n), void *arg)
{
	return genfs_add(&sysfs, path, &(struct gennode){ .bin = read, .arg = arg }, S_IFREG | 0444,
	                 size);
}

int sysfs_link(const char *path, const char *target)
{
	return genfs_add(&sysfs, path, &(struct gennode){ .target = (char *)(uintptr_t)target },
	                 S_IFLNK | 0777, 0);
}

static void cpus_text(struct text_buf *t, void *arg)
{
	if (cpu_count() > 1)
		text_printf(t, "0-%u\n", cpu_count() - 1);
	else
		text_printf(t, "0\n");
}

static void number_text(struct text_buf *t, void *arg)
{
	text_printf(t, "%llu\n", (unsigned long long)(uintptr_t)arg);
}

static void add(int *r, int result)
{
	if (!*r)
		*r = result;
}

void sysfs_init(void)
{
	char path[64];
	int err = genfs_create(&sysfs, "sysfs");

	if (vfs_mkdir("/sys", 0555)) /* the image may have it */
		log_debug("/sys is there");
	add(&err, vfs_mount("/sys", &sysfs.fs));
	add(&err, sysfs_add("devices/system/cpu/online", cpus_text, NULL));
	add(&err, sysfs_add("devices/system/cpu/possible", cpus_text, NULL));
	add(&err, sysfs_add("devices/system/cpu/present", cpus_text, NULL));
	for (unsigned i = 0; i < cpu_count(); i++) {
		vmk_snprintf(path, sizeof(path), "devices/system/cpu/cpu%u/topology/core_id", i);
		add(&err, sysfs_add(path, number_text, (void *)(uintptr_t)i));
		vmk_snprintf(path, sizeof(path), "devices/system/cpu/cpu%u/online", i);
		add(&err, sysfs_add(path, number_text, (void *)1));
	}
	if (err)
		log_err("/sys is incomplete: error %d", -err);
}
