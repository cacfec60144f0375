// SPDX-License-Identifier: Apache-2.0
/* Operations on worlds and groups (vmkernel/ctl/ops_sched.c). Times are ns, monotone. */
#ifndef ABI_SCHED_H
#define ABI_SCHED_H
#include "abi/host.h"

enum ctl_sched_op {
	CTL_SCHED_WORLDS = CTL_BASE_SCHED,
	CTL_SCHED_GROUPS,
	CTL_SCHED_GROUP_SET,
};

struct ctl_world {
	uint32_t id;
	uint32_t kind; /* enum world_kind: 0 kernel, 1 user, 2 vcpu, 3 idle */
	/* enum world_state: 0 new, 1 ready, 2 running, 3 waiting, 4 costop, 5 dead */
	uint32_t state;
	uint32_t pid; /* user worlds: the process; 0 */
	uint64_t used_ns;
	uint64_t ready_ns;
	uint64_t wait_ns;
	uint64_t costop_ns;
	uint64_t switches;
	uint64_t migrations;
	char name[32];
};
ABI_SIZE(struct ctl_world, 96);
enum ctl_world_limits { CTL_WORLDS_PAGE = 512 };
struct ctl_sched_worlds {
	struct ctl_page page;
	struct ctl_world world[512];
};

/* min and max are in percent of one CPU, max 0: none. */
struct ctl_group {
	uint32_t id; /* 0: the root */
	uint32_t parent;
	uint32_t shares;
	uint32_t min_pct;
	uint32_t max_pct;
	uint32_t members; /* worlds and groups */
	uint64_t used_ns; /* by all worlds below, those that have ended too */
	char name[32];
};
ABI_SIZE(struct ctl_group, 64);
enum ctl_group_limits { CTL_GROUPS_PAGE = 512 };
struct ctl_sched_groups { /* a group comes after the groups in it */
	struct ctl_page page;
	struct ctl_group group[512];
};

struct ctl_sched_group_set { /* until the group ends; the root has nothing to set */
	uint32_t id;
	uint32_t shares;
	uint32_t min_pct;
	uint32_t max_pct;
};
#endif
