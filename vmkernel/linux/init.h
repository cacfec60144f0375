// SPDX-License-Identifier: Apache-2.0
/* Steps of user_init(). */
#ifndef USER_INIT_H
#define USER_INIT_H

void vdso_init(void);
#endif
