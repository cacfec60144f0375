// SPDX-License-Identifier: Apache-2.0
/* Memory for the states of x86/fpu.h. */
#ifndef MM_FPU_AREA_H
#define MM_FPU_AREA_H
#include "x86/fpu.h"

void *__must_check fpu_alloc(void); /* in the initial state; NULL without memory */
void fpu_free(void *area);          /* NULL is a no-op */
#endif
