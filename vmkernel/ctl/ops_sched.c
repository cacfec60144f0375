// SPDX-License-Identifier: Apache-2.0
/* Control operations on worlds and groups. */
#include "abi/sched.h"

#include "vmk/ctl.h"
#include "vmk/string.h"
#include "vmk/user.h"
#include "vmk/world.h"

struct fill {
	uint32_t first;
	struct ctl_sched_worlds *r;
};

static void fill_world(struct world *w, void *arg)
{
	struct fill *f = arg;
	struct world_times t;
	struct ctl_world *o;

	if (f->r->page.total++ < f->first || f->r->page.count == CTL_WORLDS_PAGE)
		return;
	o = &f->r->world[f->r->page.count++];
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

CTL_OP(CTL_SCHED_WORLDS, sched_worlds, sizeof(struct ctl_page_req), 0, CTL_READ)
{
	const struct ctl_page_req *q = c->req;
	struct fill f = { q->first, c->reply };

	world_for_each(fill_world, &f);
	c->reply_len = offsetof(struct ctl_sched_worlds, world) +
	               f.r->page.count * sizeof(f.r->world[0]);
	return 0;
}

struct fill_groups {
	uint32_t first;
	struct ctl_sched_groups *r;
};

static void fill_group(const struct group_info *g, void *arg)
{
	struct fill_groups *f = arg;
	struct ctl_group *o;

	if (f->r->page.total++ < f->first || f->r->page.count == CTL_GROUPS_PAGE)
		return;
	o = &f->r->group[f->r->page.count++];
	o->id = g->id;
	o->parent = g->parent;
	o->shares = g->sched.shares;
	o->min_pct = g->sched.min_pct;
	o->max_pct = g->sched.max_pct;
	o->members = g->members;
	o->used_ns = g->used;
	str_copy(o->name, g->name, sizeof(o->name));
}

CTL_OP(CTL_SCHED_GROUPS, sched_groups, sizeof(struct ctl_page_req), 0, CTL_READ)
{
	const struct ctl_page_req *q = c->req;
	struct fill_groups f = { q->first, c->reply };

	group_for_each(fill_group, &f);
	c->reply_len = offsetof(struct ctl_sched_groups, group) +
	               f.r->page.count * sizeof(f.r->group[0]);
	return 0;
}

CTL_OP(CTL_SCHED_GROUP_SET, sched_group_set, sizeof(struct ctl_sched_group_set), 0, CTL_ADMIN)
{
	const struct ctl_sched_group_set *s = c->req;
	struct sched_params p = { s->shares, s->min_pct, s->max_pct };
	int err = group_set_by_id(s->id, &p);

	return err ? ctl_error(c, err, "group %u cannot be set to shares %u, min %u%%, max %u%%",
	                       s->id, p.shares, p.min_pct, p.max_pct)
	           : 0;
}
