// SPDX-License-Identifier: Apache-2.0
/* The HPET's main counter, and its timer 0 for the watchdog. Spec: IA-PC HPET 1.0a, 2.3. */
#include "x86/hpet.h"
#include "acpi/acpi.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "x86/clock.h"
#include "x86/paging.h"

#define LOG_MODULE "hpet"

enum { HPET_CAP = 0x000, HPET_CONFIG = 0x010, HPET_COUNTER = 0x0f0, HPET_SIZE = 0x400 };
#define CAP_PERIOD    BITS(63, 32) /* femtoseconds a tick */
#define CAP_64BIT     BIT(13)
#define CONFIG_ENABLE BIT(0)
#define CONFIG_LEGACY BIT(1)
#define PERIOD_MAX    0x05f5e100 /* 100 ns, 2.3.4 */
#define FS_PER_S      1000000000000000ull

static char *hpet;

static uint64_t hpet_read64(void)
{
	return mmio_read64(hpet + HPET_COUNTER);
}

/* A 32-bit counter, and hosts that split 64-bit reads. */
static uint64_t hpet_read32(void)
{
	return mmio_read32(hpet + HPET_COUNTER);
}

const struct counter *hpet_counter(void)
{
	static struct counter counter = { .name = "HPET" };
	uint64_t cap, period;

	if (counter.hz != 0)
		return &counter;
	if (acpi_info.hpet == 0)
		return NULL;
	hpet = paging_map_device(acpi_info.hpet, HPET_SIZE);
	cap = mmio_read64(hpet + HPET_CAP);
	period = GET(CAP_PERIOD, cap);
	if (period == 0 || period > PERIOD_MAX) {
		log_warn("at %#llx: period of %llu fs is absurd; not used",
		         (unsigned long long)acpi_info.hpet, (unsigned long long)period);
		return NULL;
	}
	mmio_write64(hpet + HPET_CONFIG,
	             (mmio_read64(hpet + HPET_CONFIG) & ~CONFIG_LEGACY) | CONFIG_ENABLE);
	counter.read = cap & CAP_64BIT ? hpet_read64 : hpet_read32;
	counter.mask = cap & CAP_64BIT ? UINT64_MAX : UINT32_MAX;
	counter.hz = FS_PER_S / period;
	return &counter;
}
