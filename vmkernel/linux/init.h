// SPDX-License-Identifier: Apache-2.0
/* Steps of user_init(). */
#ifndef LINUX_INIT_H
#define LINUX_INIT_H

void vdso_init(void);
#endif
