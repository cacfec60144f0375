// SPDX-License-Identifier: Apache-2.0
/* Control operations on worlds and groups. */
#include "abi/sched.h"

#include "ctl/page.h"
#include "vmk/string.h"
#include "vmk/user.h"
#include "vmk/world.h"

static void fill_world(struct world *w, void *arg)
{
	struct ctl_world *o = page_next(arg);
	struct world_times t;

	if (!o)
		return;
	world_times_get(w, &t);
	o->id = world_id(w);
	o->kind = world_kind(w);
	o->state = world_state(w);
	o->pid = (uint32_t)world_pid(w);
	o->used_ns = t.used;
	o->ready_ns = t.ready;
	o->wait_ns = t.wait;
	o->costop_ns = t.costop;
	o->switches = t.switches;
	o->migrations = t.migrations;
	str_copy(o->name, world_name(w), sizeof(o->name));
}

CTL_LIST(CTL_SCHED_WORLDS, sched_worlds, struct ctl_sched_worlds, world)
{
	world_for_each(fill_world, page);
}

static void fill_group(const struct group_info *g, void *arg)
{
	struct ctl_group *o = page_next(arg);

	if (!o)
		return;
	o->id = g->id;
	o->parent = g->parent;
	o->shares = g->sched.shares;
	o->min_pct = g->sched.min_pct;
	o->max_pct = g->sched.max_pct;
	o->members = g->members;
	o->used_ns = g->used;
	str_copy(o->name, g->name, sizeof(o->name));
}

CTL_LIST(CTL_SCHED_GROUPS, sched_groups, struct ctl_sched_groups, group)
{
	group_for_each(fill_group, page);
}

CTL_OP(CTL_SCHED_GROUP_SET, sched_group_set, sizeof(struct ctl_sched_group_set), 0, CTL_ADMIN)
{
	const struct ctl_sched_group_set *s = c->req;
	struct sched_params p = { s->shares, s->min_pct, s->max_pct };
	/* By id, which is never used again: a group that ended meanwhile is not found. */
	int err = group_set_by_id(s->id, &p);

	return err ? ctl_error(c, err, "group %u cannot be set to shares %u, min %u%%, max %u%%",
	                       s->id, p.shares, p.min_pct, p.max_pct)
	           : 0;
}
