// SPDX-License-Identifier: Apache-2.0
/* Breaks the vmkernel on purpose, to show that it breaks well. */
#ifndef BOOT_PANICTEST_H
#define BOOT_PANICTEST_H

/* Option panictest=pagefault|stackoverflow|doublefault|hang|assert; returns when there is none. */
void panictest(void);
#endif
