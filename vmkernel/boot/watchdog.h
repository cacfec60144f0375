// SPDX-License-Identifier: Apache-2.0
/* Finds a CPU that stays with interrupts off. */
#ifndef BOOT_WATCHDOG_H
#define BOOT_WATCHDOG_H

/* A world, all CPUs running. Option watchdog=SECONDS, 0: off. */
void watchdog_init(void);
#endif
