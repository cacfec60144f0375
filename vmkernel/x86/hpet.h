// SPDX-License-Identifier: Apache-2.0
/* The HPET beyond its counter (x86/clock.h). */
#ifndef X86_HPET_H
#define X86_HPET_H
#include "vmk/types.h"
#endif
