// SPDX-License-Identifier: Apache-2.0
/* The ACPI power-management timer. Spec: ACPI 6.4, 4.8.3.3. */
#include "acpi/acpi.h"
#include "vmk/io.h"
#include "x86/clock.h"

#define PM_TIMER_HZ 3579545

static uint64_t pm_timer_read(void)
{
	return in32(acpi_info.pm_timer);
}

const struct counter *pm_timer_counter(void)
{
	static struct counter counter = { "ACPI PM timer", pm_timer_read, PM_TIMER_HZ, 0 };

	if (acpi_info.pm_timer == 0)
		return NULL;
	counter.mask = acpi_info.pm_timer_32bit ? UINT32_MAX : BITS(23, 0);
	return &counter;
}
