// SPDX-License-Identifier: Apache-2.0
/* The HPET's main counter, and its timer 0 for the watchdog. Spec: IA-PC HPET 1.0a, 2.3. */
#include "x86/hpet.h"
#include "acpi/acpi.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "x86/clock.h"
#include "x86/insn.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/paging.h"

#define LOG_MODULE "hpet"

enum {
	HPET_TIMER = 0x100, /* of timer n: + 0x20 * n */
	TIMER_COMPARATOR = 0x08,
	ISA_LINES = 16,
};
enum { HPET_CAP = 0x000, HPET_CONFIG = 0x010, HPET_COUNTER = 0x0f0, HPET_SIZE = 0x400 };
#define CAP_PERIOD       BITS(63, 32) /* femtoseconds a tick */
#define CAP_64BIT        BIT(13)
#define CAP_LAST_TIMER   BITS(12, 8)
#define TIMER_LEVEL      BIT(1)
#define TIMER_ENABLE     BIT(2)
#define TIMER_PERIODIC   BIT(3)
#define TIMER_CAN_REPEAT BIT(4)
#define TIMER_64BIT      BIT(5)
#define TIMER_SET_VALUE  BIT(6)
#define TIMER_ROUTE      BITS(13, 9)
#define TIMER_ROUTES     BITS(63, 32)
#define CONFIG_ENABLE    BIT(0)
#define CONFIG_LEGACY    BIT(1)
#define PERIOD_MAX       0x05f5e100 /* 100 ns, 2.3.4 */
#define FS_PER_S         1000000000000000ull

static char *hpet;

/*
 * The timer that sends NMIs: what its comparator said last, in ticks, and NMIs that may still come
 * for that.
 */
static struct {
	char *timer;
	uint64_t mask, ticks, next;
	unsigned owed;
} nmi;

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
		return &counter; /* found before */
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
	/* Legacy routing off: the timers must not replace the PIT's and the RTC's interrupts. */
	mmio_write64(hpet + HPET_CONFIG,
	             (mmio_read64(hpet + HPET_CONFIG) & ~CONFIG_LEGACY) | CONFIG_ENABLE);
	counter.read = cap & CAP_64BIT ? hpet_read64 : hpet_read32;
	counter.mask = cap & CAP_64BIT ? UINT64_MAX : UINT32_MAX;
	counter.hz = FS_PER_S / period;
	return &counter;
}

/* A line that the timer can be routed to and that no ISA device shares. */
static bool find_line(uint64_t config, uint32_t *gsi)
{
	for (uint32_t i = ISA_LINES; i < 32; i++)
		if ((GET(TIMER_ROUTES, config) & BIT(i)) && ioapic_has(i)) {
			*gsi = i;
			return true;
		}
	return false;
}

bool hpet_start_nmi(ns_t period)
{
	const struct counter *counter = hpet_counter();
	uint64_t ticks, config;
	uint32_t gsi;

	if (counter == NULL)
		return false;
	for (unsigned n = 0; n <= GET(CAP_LAST_TIMER, mmio_read64(hpet + HPET_CAP)); n++) {
		char *timer = hpet + HPET_TIMER + 0x20 * n;

		config = mmio_read64(timer);
		if (!(config & TIMER_CAN_REPEAT) || !find_line(config, &gsi))
			continue;
		ticks = mul_div(period, counter->hz, NS_PER_S);
		config &= ~(TIMER_LEVEL | TIMER_ROUTE);
		ioapic_route_nmi(gsi, lapic_id());
		mmio_write64(timer, config | TIMER_ENABLE | TIMER_PERIODIC | TIMER_SET_VALUE |
		                            PUT(TIMER_ROUTE, gsi));
		/* First the next comparison, then the distance of those behind it (2.3.9.2.2). */
		mmio_write64(timer + TIMER_COMPARATOR, counter->read() + ticks);
		mmio_write64(timer + TIMER_COMPARATOR, ticks);
		nmi.mask = config & TIMER_64BIT ? UINT64_MAX : UINT32_MAX;
		nmi.ticks = ticks;
		nmi.next = mmio_read64(timer + TIMER_COMPARATOR) & nmi.mask;
		store_release(&nmi.timer, timer);
		return true;
	}
	return false;
}

bool hpet_nmi_fired(void)
{
	uint64_t next, fired;

	if (!nmi.timer)
		return false;
	next = mmio_read64(nmi.timer + TIMER_COMPARATOR) & nmi.mask;
	fired = ((next - nmi.next) & nmi.mask) / nmi.ticks;
	/* Of several that came late one may still be latched; a button's NMI has none of them. */
	nmi.next = next;
	if (fired)
		nmi.owed = (unsigned)MIN(fired, 2ull);
	if (!nmi.owed)
		return false;
	nmi.owed--;
	return true;
}
