// SPDX-License-Identifier: Apache-2.0
/*
 * Groups: a tree in which CPU time is shared out, level by level. groups_lock guards the tree and
 * its settings. The passes of fill.c run on whichever CPU switches worlds when one is due; their
 * period grows with the number of nodes, so they never cost more than about two percent of a CPU.
 */
#include "sched/world.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

enum { SHARES_NORMAL = 1000, SHARES_MAX = 1000000, DEPTH_MAX = 8 };
#define FILL_PERIOD          (8 * NS_PER_MS)
#define FILL_PERIOD_PER_NODE (3 * NS_PER_US)

struct group {
	struct fill_node fill;
	uint32_t id;
	uint32_t members; /* worlds and groups */
	ns_t gone;        /* time used by members that have left */
	char name[32];
};

static struct spinlock groups_lock = SPINLOCK_INIT("groups", RANK_RUNQ - 1);
static struct group root = {
	.fill = { .children = LIST_INIT(root.fill.children),
	          .link = LIST_INIT(root.fill.link),
	          .shares = SHARES_NORMAL,
	          .max = RATE_NO_MAX,
	          .rate = RATE_ONE },
	.name = "host",
};
static struct group system_group = {
	.fill = { .children = LIST_INIT(system_group.fill.children),
	          .link = LIST_INIT(system_group.fill.link),
	          .shares = SHARES_NORMAL,
	          .max = RATE_NO_MAX,
	          .rate = RATE_ONE },
	.id = 1,
	.name = "system",
};
static uint32_t next_id = 2;
static ns_t fill_last; /* groups_lock */
/* Read without the lock by every switch of worlds: a stale value delays a pass by one switch. */
ns_t group_fill_due;
uint32_t group_fills; /* released after a pass's results are written */

STAT(fills, "sched.fills", "passes that computed entitlements");

struct group *group_root(void)
{
	return &root;
}

struct group *group_system(void)
{
	return &system_group;
}

static uint32_t rate_of(uint32_t percent)
{
	return (uint32_t)MIN((uint64_t)percent * RATE_ONE / 100, (uint64_t)RATE_NO_MAX - 1);
}

static void apply(struct fill_node *n, const struct sched_params *p)
{
	n->shares = p && p->shares ? MIN(p->shares, (uint32_t)SHARES_MAX) : SHARES_NORMAL;
	n->min = p ? rate_of(p->min_pct) : 0;
	n->max = p && p->max_pct ? rate_of(p->max_pct) : RATE_NO_MAX;
}

static int check(const struct sched_params *p)
{
	if (p && (p->shares > SHARES_MAX || (p->max_pct && p->min_pct > p->max_pct)))
		return -EINVAL;
	return 0;
}

/* The system group joins the root on first use. */
static void attach(struct group *parent, struct fill_node *n)
{
	if (!system_group.fill.parent) {
		fill_attach(&root.fill, &system_group.fill);
		root.members++;
	}
	fill_attach(&parent->fill, n);
	parent->members++;
	fill_guess(n);
	group_fill_due = 0;
}

int group_create(struct group *parent, const char *name, const struct sched_params *p,
                 struct group **out)
{
	struct group *g;
	uint64_t flags;
	unsigned depth = 0;

	if (!parent)
		parent = &root;
	/*
	 * Without the lock: the caller keeps parent alive, and a group never moves. The bound is
	 * that of the recursion in fill.c.
	 */
	for (const struct fill_node *n = &parent->fill; n; n = n->parent)
		depth++;
	if (depth >= DEPTH_MAX || check(p))
		return -EINVAL;
	g = kzalloc(sizeof(*g));
	if (!g)
		return -ENOMEM;
	str_copy(g->name, name, sizeof(g->name));
	fill_node_init(&g->fill, NULL, 0, 0, 0);
	apply(&g->fill, p);
	flags = spin_lock_irq(&groups_lock);
	g->id = next_id++;
	attach(parent, &g->fill);
	spin_unlock_irq(&groups_lock, flags);
	*out = g;
	return 0;
}

static void set(struct group *g, const struct sched_params *p)
{
	apply(&g->fill, p);
	group_fill_due = 0;
}

int group_set(struct group *g, const struct sched_params *p)
{
	uint64_t flags;

	if (check(p))
		return -EINVAL;
	flags = spin_lock_irq(&groups_lock);
	set(g, p);
	spin_unlock_irq(&groups_lock, flags);
	return 0;
}

static void detach(struct fill_node *n, ns_t used)
{
	struct group *g = container_of(n->parent, struct group, fill);

	g->members--;
	g->gone += used;
	fill_detach(n);
}

int group_destroy(struct group *g)
{
	uint64_t flags = spin_lock_irq(&groups_lock);
	bool busy = g->members != 0;

	if (!busy)
		detach(&g->fill, g->gone);
	spin_unlock_irq(&groups_lock, flags);
	if (busy)
		return -EBUSY;
	kfree(g);
	return 0;
}

void group_enter(struct group *g, struct world *w, const struct sched_params *p)
{
	uint64_t flags = spin_lock_irq(&groups_lock);

	fill_node_init(&w->fill, &w->share, 0, 0, 0);
	apply(&w->fill, p);
	w->group = g;
	attach(g, &w->fill);
	spin_unlock_irq(&groups_lock, flags);
}

void group_leave(struct world *w)
{
	uint64_t flags = spin_lock_irq(&groups_lock);

	detach(&w->fill, w->times.used);
	spin_unlock_irq(&groups_lock, flags);
}

typedef void group_fn(const struct group_info *g, void *arg);

static uint32_t percent_of(uint32_t rate)
{
	return (uint32_t)(((uint64_t)rate * 100 + RATE_ONE / 2) / RATE_ONE);
}

/* Visits g and the groups in it, innermost first; returns what all worlds below have used. */
static ns_t visit(const struct group *g, group_fn *fn, void *arg)
{
	const struct fill_node *n;
	struct group_info i = { .id = g->id, .members = g->members, .used = g->gone };

	list_for_each(n, &g->fill.children, link) {
		struct world_times t;

		if (!n->entity) {
			i.used += visit(container_of(n, const struct group, fill), fn, arg);
			continue;
		}
		world_times_get(container_of(n, const struct world, fill), &t);
		i.used += t.used;
	}
	if (g->fill.parent)
		i.parent = container_of(g->fill.parent, const struct group, fill)->id;
	i.sched.shares = g->fill.shares;
	i.sched.min_pct = percent_of(g->fill.min);
	i.sched.max_pct = g->fill.max == RATE_NO_MAX ? 0 : percent_of(g->fill.max);
	i.name = g->name;
	fn(&i, arg);
	return i.used;
}

void group_for_each(group_fn *fn, void *arg)
{
	uint64_t flags = spin_lock_irq(&groups_lock);

	visit(&root, fn, arg);
	spin_unlock_irq(&groups_lock, flags);
}

static struct group *find(struct group *g, uint32_t id)
{
	struct fill_node *n;
	struct group *found;

	if (g->id == id)
		return g;
	list_for_each(n, &g->fill.children, link) {
		found = n->entity ? NULL : find(container_of(n, struct group, fill), id);
		if (found)
			return found;
	}
	return NULL;
}

int group_set_by_id(uint32_t id, const struct sched_params *p)
{
	struct group *g;
	uint64_t flags;

	if (id == root.id || check(p))
		return -EINVAL;
	flags = spin_lock_irq(&groups_lock);
	g = find(&root, id);
	if (g)
		set(g, p);
	spin_unlock_irq(&groups_lock, flags);
	return g ? 0 : -ENOENT;
}

void group_refill(ns_t now)
{
	unsigned count;

	/*
	 * A change of the tree makes a pass due at once, but there is at most one a millisecond.
	 * The lock is only tried: its holder is in a pass, or changes the tree and makes another
	 * one due.
	 */
	if (now < READ_ONCE(fill_last) + NS_PER_MS || !spin_trylock(&groups_lock))
		return;
	count = fill_pass(&root.fill, (uint64_t)cpu_count() * RATE_ONE, now, now - fill_last);
	fill_last = now;
	group_fill_due = now + MAX(FILL_PERIOD, count * FILL_PERIOD_PER_NODE);
	stat_inc(fills);
	store_release(&group_fills, group_fills + 1);
	spin_unlock(&groups_lock);
}
