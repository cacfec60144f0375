// SPDX-License-Identifier: Apache-2.0
/* lwIP's compiler and platform header. No C library stands behind it in the kernel. */
#ifndef ARCH_CC_H
#define ARCH_CC_H
#include "vmk/string.h"
#include "vmk/types.h"

#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_UNISTD_H   1
#define LWIP_NO_LIMITS_H   1
#define LWIP_NO_CTYPE_H    1
#ifndef VMK_HOST
#define INT_MAX   0x7fffffff
#define SSIZE_MAX INT64_MAX
#else
#include <limits.h>
#endif
#define X8_F  "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

#define LWIP_CHKSUM_ALGORITHM 3

typedef uint64_t sys_prot_t;

uint32_t ip_random(void);
/* Counts and, where a packet or a timer is being worked on, abandons that. */
void ip_assert_failed(const char *what, int line);
int ip_atoi(const char *s);

#define LWIP_RAND()             ip_random()
#define LWIP_PLATFORM_DIAG(x)   ((void)0)
#define LWIP_PLATFORM_ASSERT(x) ip_assert_failed(x, __LINE__)
#define atoi                    ip_atoi
#endif
