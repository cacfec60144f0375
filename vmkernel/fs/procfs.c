// SPDX-License-Identifier: Apache-2.0
/* /proc: the files about the whole machine. Formats: Linux proc(5). */
#include "fs/procfs.h"
#include "sched/world.h"
#include "proc/proc.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/random.h"
#include "vmk/string.h"

#define LOG_MODULE "procfs"

enum { TICK_NS = 10000000 }; /* USER_HZ is 100 */

static struct genfs procfs;

int procfs_add(const char *path, void (*fn)(struct text_buf *t, void *arg), void *arg)
{
	return genfs_add(&procfs, path, &(struct gennode){ .text = fn, .arg = arg }, S_IFREG | 0444,
	                 0);
}

static void meminfo(struct text_buf *t, void *arg)
{
	struct mm_totals m;
	uint64_t free, kib = PAGE_SIZE / KiB;

	mm_totals(&m);
	free = m.pages[FRAME_FREE] + m.pages[FRAME_CACHE];
	text_printf(
		t,
		"MemTotal:       %8llu kB\nMemFree:        %8llu kB\nMemAvailable:   %8llu kB\n"
		"Buffers:               0 kB\nCached:         %8llu kB\nSwapCached:            0 kB\n"
		"Active:                0 kB\nInactive:              0 kB\nSwapTotal:             0 kB\n"
		"SwapFree:              0 kB\nAnonPages:      %8llu kB\nShmem:          %8llu kB\n"
		"Slab:           %8llu kB\nSReclaimable:          0 kB\nPageTables:     %8llu kB\n",
		(unsigned long long)(m.total_pages * kib), (unsigned long long)(free * kib),
		(unsigned long long)(free * kib), (unsigned long long)(m.pages[FRAME_MEMOBJ] * kib),
		(unsigned long long)(m.pages[FRAME_USER] * kib),
		(unsigned long long)(m.pages[FRAME_MEMOBJ] * kib),
		(unsigned long long)(m.pages[FRAME_SLAB] * kib),
		(unsigned long long)(m.pages[FRAME_PAGETABLE] * kib));
}

static void cpu_regs(uint32_t leaf, uint32_t r[4])
{
	__asm__ volatile("cpuid"
	                 : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
	                 : "a"(leaf), "c"(0));
}

/* Those by which programs choose, and the compatibility list judges; Linux's names. */
static void cpu_flags(struct text_buf *t)
{
	static const struct {
		uint32_t leaf, reg, bit;
		const char *name;
	} flag[] = {
		{ 1, 3, 0, "fpu" },          { 1, 3, 4, "tsc" },
		{ 1, 3, 5, "msr" },          { 1, 3, 6, "pae" },
		{ 1, 3, 9, "apic" },         { 1, 3, 11, "sep" },
		{ 1, 3, 15, "cmov" },        { 1, 3, 23, "mmx" },
		{ 1, 3, 24, "fxsr" },        { 1, 3, 25, "sse" },
		{ 1, 3, 26, "sse2" },        { 1, 2, 5, "vmx" },
		{ 1, 2, 26, "xsave" },       { 0x80000001, 3, 11, "syscall" },
		{ 0x80000001, 3, 20, "nx" }, { 0x80000001, 3, 26, "pdpe1gb" },
		{ 0x80000001, 3, 29, "lm" }, { 0x80000001, 2, 2, "svm" },
		{ 0x8000000a, 3, 0, "npt" },
	};

	text_printf(t, "flags\t\t:");
	for (unsigned i = 0; i < ARRAY_SIZE(flag); i++) {
		uint32_t r[4];

		cpu_regs(flag[i].leaf & 0x80000000, r);
		if (r[0] < flag[i].leaf)
			continue;
		cpu_regs(flag[i].leaf, r);
		if (r[flag[i].reg] >> flag[i].bit & 1)
			text_printf(t, " %s", flag[i].name);
	}
	text_printf(t, "\n\n");
}

static void cpuinfo(struct text_buf *t, void *arg)
{
	uint32_t r[4], max_ext;
	char vendor[13] = "", brand[49] = "";

	/*
	 * Spec: Intel SDM, CPUID: leaf 0 has the vendor in EBX, EDX, ECX; 0x80000002 to 4 the
	 * brand.
	 */
	cpu_regs(0, r);
	memcpy(vendor, &r[1], 4);
	memcpy(vendor + 4, &r[3], 4);
	memcpy(vendor + 8, &r[2], 4);
	cpu_regs(0x80000000, r);
	max_ext = r[0];
	for (uint32_t i = 0; i < 3 && max_ext >= 0x80000004; i++) {
		cpu_regs(0x80000002 + i, r);
		memcpy(brand + 16 * i, r, 16);
	}
	cpu_regs(1, r);
	for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
		uint32_t family = r[0] >> 8 & 15, model = r[0] >> 4 & 15;

		/*
		 * The extended model counts for families 6 and 15, the extended family for 15:
		 * CPUID leaf 1.
		 */
		if (family == 6 || family == 15)
			model |= r[0] >> 12 & 0xf0;
		if (family == 15)
			family += r[0] >> 20 & 0xff;
		text_printf(t,
		            "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\n",
		            cpu, vendor, family, model);
		text_printf(t, "model name\t: %s\nstepping\t: %u\ncpu MHz\t\t: %llu.%03llu\n",
		            brand, r[0] & 15, (unsigned long long)(time_tsc_hz() / 1000000),
		            (unsigned long long)(time_tsc_hz() / 1000 % 1000));
		text_printf(
			t,
			"physical id\t: 0\nsiblings\t: %u\ncore id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\n",
			cpu_count(), cpu, cpu_count(), cpu_apic_id(cpu));
		cpu_flags(t);
	}
}

static void uptime(struct text_buf *t, void *arg)
{
	uint64_t cs = time_now() / TICK_NS;

	text_printf(t, "%llu.%02llu %llu.%02llu\n", (unsigned long long)(cs / 100),
	            (unsigned long long)(cs % 100), (unsigned long long)(cs / 100),
	            (unsigned long long)(cs % 100));
}

static void loadavg(struct text_buf *t, void *arg)
{
	int n = 0;

	for (int pid = 0; (pid = proc_next_pid(pid)) != 0;)
		n++;
	text_printf(t, "0.00 0.00 0.00 1/%d %d\n", n, n);
}

struct cpu_ticks {
	ns_t used[WORLD_IDLE + 1];
	uint64_t switches;
	unsigned running;
};

static void count_world(struct world *w, void *arg)
{
	struct cpu_ticks *c = arg;
	struct world_times wt;

	world_times_get(w, &wt);
	c->used[w->kind] += wt.used;
	c->switches += wt.switches;
}

/*
 * Time is known for each world, not for each CPU: the total stands in one line a CPU, shared out
 * evenly.
 */
static void stat(struct text_buf *t, void *arg)
{
	struct cpu_ticks c = { .running = 1 };
	unsigned n = cpu_count();
	unsigned long long user, system, idle, boot;

	world_for_each(count_world, &c);
	user = (c.used[WORLD_USER] + c.used[WORLD_VCPU]) / TICK_NS;
	system = c.used[WORLD_KERNEL] / TICK_NS;
	idle = time_now() / TICK_NS * n;
	idle -= MIN(idle, user + system);
	boot = (time_realtime() - time_now()) / NS_PER_S;
	text_printf(t, "cpu  %llu 0 %llu %llu 0 0 0 0 0 0\n", user, system, idle);
	for (unsigned i = 0; i < n; i++)
		text_printf(t, "cpu%u %llu 0 %llu %llu 0 0 0 0 0 0\n", i, user / n, system / n,
		            idle / n);
	text_printf(
		t,
		"intr 0\nctxt %llu\nbtime %llu\nprocesses 0\nprocs_running %u\nprocs_blocked 0\n",
		(unsigned long long)c.switches, boot, c.running);
}

static void version(struct text_buf *t, void *arg)
{
	text_printf(t, "Linux version 6.1.0-tepui (Tepui vmkernel " VMK_VERSION ")\n");
}

static void cmdline(struct text_buf *t, void *arg)
{
	text_printf(t, "%s\n", boot_info.cmdline);
}

static void filesystems(struct text_buf *t, void *arg)
{
	text_printf(t, "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tdevtmpfs\n");
}

static void zero(struct text_buf *t, void *arg)
{
	text_printf(t, "%s\n", (const char *)arg);
}

static void boot_id(struct text_buf *t, void *arg)
{
	uint8_t *u = arg;

	for (unsigned i = 0; i < 16; i++)
		text_printf(t, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
	text_printf(t, "\n");
}

static void uuid(struct text_buf *t, void *arg)
{
	uint8_t u[16];

	random_bytes(u, sizeof(u));
	u[6] = (u[6] & 0x0f) | 0x40;
	u[8] = (u[8] & 0x3f) | 0x80;
	boot_id(t, u);
}

void procfs_init(void)
{
	static uint8_t boot_uuid[16];
	static const struct {
		const char *path;
		void (*fn)(struct text_buf *t, void *arg);
		const void *arg;
	} files[] = {
		{ "meminfo", meminfo, NULL },
		{ "cpuinfo", cpuinfo, NULL },
		{ "uptime", uptime, NULL },
		{ "loadavg", loadavg, NULL },
		{ "stat", stat, NULL },
		{ "version", version, NULL },
		{ "cmdline", cmdline, NULL },
		{ "filesystems", filesystems, NULL },
		{ "sys/vm/overcommit_memory", zero, "0" },
		{ "sys/kernel/pid_max", zero, "32768" },
		{ "sys/kernel/ostype", zero, "Linux" },
		{ "sys/kernel/osrelease", zero, "6.1.0-tepui" },
		{ "sys/kernel/threads-max", zero, "32768" },
		{ "sys/fs/file-max", zero, "1048576" },
		{ "sys/fs/pipe-max-size", zero, "1048576" },
		{ "sys/net/core/somaxconn", zero, "4096" },
		{ "sys/kernel/random/boot_id", boot_id, boot_uuid },
		{ "sys/kernel/random/uuid", uuid, NULL },
		{ "sys/kernel/cap_last_cap", zero, "40" },
	};
	static char mounts[] = "self/mounts";
	int err = genfs_create(&procfs, "proc");

	random_bytes(boot_uuid, sizeof(boot_uuid));
	/*
	 * The files that Debian's libc, CPython and busybox read; what nobody reads is not there.
	 */
	for (unsigned i = 0; !err && i < ARRAY_SIZE(files); i++)
		err = procfs_add(files[i].path, files[i].fn, (void *)(uintptr_t)files[i].arg);
	if (!err)
		err = genfs_add(&procfs, "mounts", &(struct gennode){ .target = mounts },
		                S_IFLNK | 0777, 0);
	/* Names that no node holds: processes. */
	procfs.lookup = procpid_lookup;
	procfs.list = procpid_list;
	if (!err && vfs_mkdir("/proc", 0555))
		log_debug("/proc is there already");
	if (!err)
		err = vfs_mount("/proc", &procfs.fs);
	if (err)
		log_err("/proc is incomplete: error %d", -err);
}
