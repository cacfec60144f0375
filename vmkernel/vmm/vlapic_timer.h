// SPDX-License-Identifier: Apache-2.0
/* The timer of a guest's local APIC. Called on the vCPU's world. Spec: Intel SDM 3A 11.5.4. */
#ifndef VMM_VLAPIC_TIMER_H
#define VMM_VLAPIC_TIMER_H
#include "vmm/vlapic.h"

void vlapic_timer_init(struct vlapic *a);
void vlapic_timer_stop(struct vlapic *a);
void vlapic_timer_start(struct vlapic *a, uint32_t init);
uint32_t vlapic_timer_count(struct vlapic *a);
/* The LVT entry has changed from old. */
void vlapic_timer_mode(struct vlapic *a, uint32_t old);
#endif
