// SPDX-License-Identifier: Apache-2.0
/*
 * Tags of guests' translations. Each CPU hands out its numbers in turn; when they are used up, a
 * new generation starts with a full flush. A vCPU needs a new one on another CPU, in a new
 * generation, and when its VM's memory changed. Interrupts off. Spec: AMD APM 2, 15.16.
 */
#ifndef VMM_ASID_H
#define VMM_ASID_H
#include "vmk/types.h"

struct asid_pool {            /* of a CPU */
	uint64_t generation;  /* from 1 */
	uint32_t next, count; /* 1 .. count - 1 are guests' */
};
struct asid { /* of a vCPU; all 0: none yet */
	uint64_t generation;
	uint32_t cpu, value;
};

static inline void asid_pool_init(struct asid_pool *p, uint32_t count)
{
	*p = (struct asid_pool){ .generation = 1, .next = 1, .count = count };
}

/*
 * Makes a valid on cpu; stale: what is cached under the old one must not be used. True: flush all
 * of this CPU.
 */
static inline bool asid_assign(struct asid_pool *p, struct asid *a, uint32_t cpu, bool stale)
{
	bool flush = false;

	if (likely(!stale && a->generation == p->generation && a->cpu == cpu))
		return false;
	if (p->next == p->count) {
		p->generation++;
		p->next = 1;
		flush = true;
	}
	*a = (struct asid){ p->generation, cpu, p->next++ };
	return flush;
}
#endif
