// SPDX-License-Identifier: Apache-2.0
/* A guest's own page tables, walked as its processor would. Spec: AMD APM 2, 5; Intel SDM 3A 4. */
#ifndef VMM_GVA_H
#define VMM_GVA_H
#include "hw/exception.h"
#include "vmm/vcpu.h"

/* The bits of a page fault's error code. */
enum gva_access { GVA_WRITE = PF_WRITE, GVA_USER = PF_USER, GVA_FETCH = PF_FETCH };

/*
 * The guest-physical address of a linear address and how many bytes it holds for up to the end of
 * the page. 0, or -EFAULT with the error code of the page fault. Sets accessed and dirty bits.
 */
int __must_check gva_translate(struct gmem *g, const struct vcpu_context *c, gva_t gva,
                               unsigned access, bool ac, gpa_t *gpa, uint32_t *error);

/*
 * A translation (4 levels, not a write) that may be used again without a walk as long as the walk
 * would read the same: gva_again compares every entry. NULL: walk. The bytes end with the page.
 * Where they lie does not change while the VM lives.
 */
void gva_remember(struct gmem *g, const struct vcpu_context *c, gva_t gva, unsigned access,
                  struct gva_known *k);
const void *gva_again(const struct vcpu_context *c, gva_t gva, unsigned access,
                      const struct gva_known *k);
#endif
