// SPDX-License-Identifier: Apache-2.0
/* The scheduler's part in a panic: which world ran. */
#include "vmk/panic.h"
#include "vmk/time.h"
#include "vmk/world.h"
#include "x86/percpu.h"

static void panic_world(const struct panic_info *info)
{
	const struct world *w = percpu_read(current);
	ns_t now = time_now();

	panic_print("cpu%u  world %u \"%s\"  up %llu.%03llu s\n", cpu_id(), percpu_read(world_id),
	            w != NULL ? world_name(w) : "boot", (unsigned long long)(now / NS_PER_S),
	            (unsigned long long)(now % NS_PER_S / NS_PER_MS));
}
PANIC_STEP(PANIC_WORLD, panic_world);
