// SPDX-License-Identifier: Apache-2.0
/*
 * The end of the host, in order: what is in memory goes to the datastores, then every driver lets
 * go of its device, then the power goes. A world of its own does it; should that hang, a timer does
 * the last step.
 */
#include "fs/dsfs.h"
#include "fs/logfile.h"
#include "vmk/boot.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/pci.h"
#include "vmk/user.h"

#define LOG_MODULE     "shutdown"
#define SHUTDOWN_DELAY (200 * NS_PER_MS) /* for the reply to leave before the host does */
#define SHUTDOWN_LIMIT (30 * NS_PER_S)

static void power(bool reboot)
{
	if (reboot)
		machine_reboot();
	machine_poweroff();
}

static void reboot_now(struct timer *t __maybe_unused)
{
	power(true);
}

static void off_now(struct timer *t __maybe_unused)
{
	power(false);
}

static void shutdown_world(void *arg)
{
	static struct timer limit;
	bool reboot = arg != NULL;

	/* The timer is set before the first step that may hang: a disk that does not answer. */
	world_sleep_until(time_now() + SHUTDOWN_DELAY);
	timer_init(&limit, reboot ? reboot_now : off_now);
	timer_set(&limit, time_now() + SHUTDOWN_LIMIT);
	logfile_flush();
	dsfs_freeze();
	log_info("datastores are at rest");
	pci_hotplug_stop();
	pci_shutdown();
	power(reboot);
}

int host_shutdown(bool reboot)
{
	static uint32_t asked;
	struct world_attr attr = { .name = "shutdown", .cpu = -1, .fn = shutdown_world };
	struct world *w;

	if (__atomic_exchange_n(&asked, 1, __ATOMIC_ACQ_REL))
		return -EALREADY;
	log_info("%s", reboot ? "reboot" : "power off");
	/* Any pointer but NULL says reboot. Without memory for a world the power goes at once. */
	attr.arg = reboot ? &asked : NULL;
	if (world_create(&attr, &w) != 0)
		power(reboot);
	world_start(w);
	world_put(w);
	return 0;
}
