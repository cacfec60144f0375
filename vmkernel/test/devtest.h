// SPDX-License-Identifier: Apache-2.0
/*
 * Devices under test and measurement, by boot options: disktest=ID|all, nictest=NAME|all,
 * bench=drivers. In the init world; they look at their option.
 */
#ifndef BOOT_DEVTEST_H
#define BOOT_DEVTEST_H

void disktest_run(void);
void nictest_run(void);
void bench_drivers_take(void); /* its NICs, before the switches take them */
#endif
