// SPDX-License-Identifier: Apache-2.0
/* Memory for the CPUs, and their start. */
#ifndef BOOT_APS_H
#define BOOT_APS_H

/* Gives the boot CPU interrupt stacks with guard pages, and its node. After mm. */
void boot_cpu_init(void);
/* Starts the other CPUs of the MADT: they run worlds when it returns. After CPU 0's scheduler. */
void aps_start(void);
#endif
