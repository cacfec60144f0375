// SPDX-License-Identifier: Apache-2.0
/*
 * The vDSO: clocks and the CPU's number, read in ring 3. Linked by vdso.ld into a shared object of
 * its own, which vdso.c maps behind the page with a struct time_page. Spec: Linux's vdso(7),
 * clock_gettime(2), gettimeofday(2), getcpu(2).
 */
#include "proc/timespec.h"
#include "vmk/time.h"
#include "x86/gdt.h"
#include "x86/insn.h"

enum { SYS_CLOCK_GETTIME = 228 };

extern const struct time_page time_page __attribute__((visibility("hidden"))); /* vdso.ld */

long __vdso_clock_gettime(long clock, int64_t *ts);
long __vdso_gettimeofday(int64_t *tv, uint64_t *zone);
long __vdso_time(int64_t *to);
long __vdso_getcpu(uint32_t *cpu, uint32_t *node);

static ns_t now(bool realtime)
{
	ns_t offset = realtime ? READ_ONCE(time_page.realtime_offset) : 0;

	return time_scale(rdtsc_ordered() - time_page.tsc_base, time_page.tsc_mult) + offset;
}

long __vdso_clock_gettime(long clock, int64_t *ts)
{
	ns_t t;
	long err;

	switch ((int)clock) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_TAI: t = now(true); break;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME: t = now(false); break;
	/* CPU clocks and those that are not there: the kernel knows. */
	default:
		__asm__ volatile("syscall"
		                 : "=a"(err)
		                 : "a"(SYS_CLOCK_GETTIME), "D"(clock), "S"(ts)
		                 : "rcx", "r11", "memory");
		return err;
	}
	ts[0] = (int64_t)(t / NS_PER_S);
	ts[1] = (int64_t)(t % NS_PER_S);
	return 0;
}

long __vdso_gettimeofday(int64_t *tv, uint64_t *zone)
{
	ns_t t = now(true);

	if (tv) {
		tv[0] = (int64_t)(t / NS_PER_S);
		tv[1] = (int64_t)(t % NS_PER_S / 1000);
	}
	if (zone)
		*zone = 0;
	return 0;
}

long __vdso_time(int64_t *to)
{
	int64_t s = (int64_t)(now(true) / NS_PER_S);

	if (to)
		*to = s;
	return s;
}

long __vdso_getcpu(uint32_t *cpu, uint32_t *node)
{
	uint32_t limit;

	__asm__ volatile("lsl %1, %0" : "=r"(limit) : "r"(SEL_CPU));
	if (cpu)
		*cpu = limit & 0xfff;
	if (node)
		*node = limit >> 12;
	return 0;
}
