// SPDX-License-Identifier: Apache-2.0
/*
 * Devices under test and measurement, by boot options: disktest=ID|all, nictest=NAME|all,
 * bench=drivers. Each does nothing without its option. In the init world.
 */
#ifndef BOOT_DEVTEST_H
#define BOOT_DEVTEST_H

void disktest_run(void);
void nictest_run(void);
void bench_drivers_run(void);
#endif
